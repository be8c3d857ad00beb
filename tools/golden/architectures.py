"""Writes tests/golden/architectures.json: config.json and the shapes of the checkpoint of models that tests/kit does not carry.

    /tmp/ref/bin/python /work/shared/conformance/generate.py --hidden 16 --only ' lora$' KIT
    /tmp/ref/bin/python /work/shared/conformance-more/generate.py --hidden 16 --only ' lora$' MORE
    /tmp/ref/bin/python /work/shared/media/generate.py --hidden 16 --only '--lora$' MEDIA
    /tmp/ref/bin/python tools/golden/architectures.py KIT MORE MEDIA  (torch 2.13.0, transformers 5.23.0)

With one of the kits alone it changes the models of that kit.
"""
import json
import sys
from pathlib import Path

from safetensors import safe_open

NAMES = ["clip-text", "deberta-v2", "distilbert", "electra", "falcon", "gemma", "gemma3", "gpt_neo", "gptj", "phi", "phi3"]
EXPERTS = ["granitemoe", "olmoe", "qwen2_moe", "qwen3_moe"]
MORE = [
    "albert",
    "apertus",
    "arcee",
    "blenderbot",
    "camembert",
    "codegen",
    "cohere",
    "cohere2",
    "deberta",
    "embeddinggemma",
    "ernie4_5",
    "esm",
    "eurobert",
    "exaone4",
    "falcon-rw",
    "gemma3n",
    "gemma4",
    "glm",
    "glm4",
    "gpt_bigcode",
    "granite",
    "gte",
    "gte-feature_extraction",
    "helium",
    "hunyuan_v1_dense",
    "internlm3",
    "lfm2",
    "longformer",
    "m2m_100",
    "marian",
    "mbart",
    "ministral",
    "ministral3",
    "modernbert",
    "modernbert-cls",
    "mpnet",
    "mpt",
    "nemotron",
    "nomic_bert",
    "olmo",
    "olmo2",
    "olmo3",
    "pegasus",
    "seed_oss",
    "smollm3",
    "stablelm",
    "starcoder2",
    "t5gemma",
    "umt5",
    "xglm",
    "xlm-roberta",
]
SPEECH = ["whisper", "whisper-audio-cls", "wav2vec2", "wav2vec2-layer", "wav2vec2-audio-cls", "wav2vec2-frame-cls", "hubert", "hubert-audio-cls", "wavlm", "ast"]
DOCUMENTS = ["layoutlm", "layoutlm-qa", "layoutlmv3", "layoutlmv3-text", "lilt"]
PICTURES = ["vit", "vit-rect", "deit", "deit-teacher", "dinov2", "dinov2-swiglu", "dinov2-registers", "clip-vision"]
PICTURES += ["beit", "beit-shared", "swin", "convnext", "resnet", "clip-classifier", "siglip-classifier"]


def model(kit, name):
    with safe_open(kit / name / "model.safetensors", "pt") as file:
        shapes = {key: file.get_slice(key).get_shape() for key in sorted(file.keys())}
    weights = {key: shape for key, shape in shapes.items() if shape}  # scalars are buffers with constants
    return dict(config=json.loads((kit / name / "config.json").read_text()), weights=weights)


out = Path(__file__).resolve().parents[2] / "tests/golden/architectures.json"
models = json.loads(out.read_text())
for kit in sys.argv[1:]:
    kit = Path(kit) / "models"
    known = [*NAMES, *EXPERTS, *MORE, *SPEECH, *DOCUMENTS, *PICTURES]
    models |= {name: model(kit, name) for name in known if (kit / name).exists()}
lines = [f"{json.dumps(name)}:{json.dumps(models[name], separators=(',', ':'))}" for name in sorted(models)]
out.write_text("{\n" + ",\n".join(lines) + "\n}\n")  # a line each, so that changes to two of them merge
