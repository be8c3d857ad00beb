"""Golden numbers for tests/contracts/tied.test.ts: adapters on embeddings and heads that share one weight, or do not.

Run: HF_HUB_OFFLINE=1 python tools/golden/tied.py tests/golden/tied.json, then npx biome format --write on it   (torch 2.13.0, transformers 5.23.0, peft 0.21.2)
Parameters are set by a formula of their saved names, so that no weights need to be stored.
"""
import copy
import json
import math
import re
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import IA3Config, LoraConfig, PeftModel, TrainableTokensConfig, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

warnings.simplefilter("ignore")
torch.set_num_threads(1)
KIT = Path(__file__).parent.parent.parent / "tests/kit/models"
IDS = [[5, 7, 9, 11, 3], [9, 40, 41, 42, 43]]
LABELS = [[-100, 7, 9, 60, 11], [3, 11, 2, 1, 9]]
MODELS = {
    "qwen2": (AutoModelForCausalLM, "embed_tokens", "lm_head", "q_proj"),
    "llama": (AutoModelForCausalLM, "embed_tokens", "lm_head", "q_proj"),
    "gpt2": (AutoModelForCausalLM, "wte", "lm_head", "c_attn"),
    "t5": (AutoModelForSeq2SeqLM, "shared", "lm_head", "q"),
    "bart": (AutoModelForSeq2SeqLM, "shared", "lm_head", "q_proj"),
    "t5-v1_1": (AutoModelForSeq2SeqLM, "shared", "lm_head", "q"),
}
AT_ENDS = re.compile(r"lm_head|embed_tokens|wte|shared")
# What these do otherwise than the models above them.
FEW = {
    "gpt2": ["save embed", "save head, tied", "save both, tied", "lora both", "lora both, tied", "lora embed, tied", "tokens list", "tokens list, lora head", "method tokens default"],
    "bart": ["save embed", "save head", "save head, tied", "lora head", "lora head, tied", "tokens list", "tokens head", "tokens differing", "method tokens default"],
}
SAME, OTHER = [7, 9, 60], [9, 11, 2]


def cases(embed, head, layer):
    """Name -> (config class, its options)."""
    lora = lambda **options: (LoraConfig, {"r": 4, "lora_alpha": 6, "target_modules": [layer], **options})
    sides = {"embed": [embed], "head": [head], "both": [embed, head]}
    made = {f"save {side}": lora(modules_to_save=names) for side, names in sides.items()}
    made |= {f"lora {side}": lora(target_modules=[layer, *names]) for side, names in sides.items()}
    tokens = {"list": SAME, "embed": {embed: SAME}, "head": {head: SAME}, "both": {embed: SAME, head: SAME}, "differing": {embed: SAME, head: OTHER}}
    made |= {f"tokens {side}": lora(trainable_token_indices=ids) for side, ids in tokens.items()}
    made["lora embed, save head"] = lora(target_modules=[layer, embed], modules_to_save=[head])
    made["lora head, save embed"] = lora(target_modules=[layer, head], modules_to_save=[embed])
    made["tokens list, save head"] = lora(trainable_token_indices=SAME, modules_to_save=[head])
    made["tokens list, lora head"] = lora(trainable_token_indices=SAME, target_modules=[layer, head])
    made["tokens list, lora embed"] = lora(trainable_token_indices=SAME, target_modules=[layer, embed])
    made |= {f"{name}, tied": (make, {**options, "ensure_weight_tying": True}) for name, (make, options) in list(made.items())}
    made["ia3 save both"] = (IA3Config, {"target_modules": [layer], "feedforward_modules": [], "modules_to_save": [embed, head]})
    for side, names in {"default": None, **sides}.items():
        made[f"method tokens {side}"] = (TrainableTokensConfig, {"token_indices": SAME, **({} if names is None else {"target_modules": names})})
    return made


def formula(name, n):
    h = sum(map(ord, name)) % 101
    return torch.tensor([0.2 * math.sin(1.3 * i + h) for i in range(n)])


def saved_name(name, adapter="default"):
    key = name.replace(f".{adapter}.", ".").removesuffix(f".{adapter}")
    return key.replace(".modules_to_save", "").replace(".original_module", "")


def fill(model):
    """Sets every trainable tensor by its saved name, those of a tied head before the embedding's; returns saved name -> parameter."""
    known = {saved_name(n): p for n, p in model.named_parameters() if p.requires_grad}
    for key, p in reversed(known.items()):
        with torch.no_grad():
            p.copy_(formula(key, p.numel()).reshape(p.shape))
    return known


def digest(t):
    """A tensor in few numbers: its sum, its norm, and a weighted sum that sees the order."""
    t = t.detach().flatten().double()
    w = torch.cos(torch.arange(t.numel(), dtype=torch.float64))
    return [float(f"{x:.6g}") for x in (t.sum(), t.norm(), (t * w).sum())]


def run(model):
    return model(input_ids=torch.tensor(IDS), attention_mask=torch.ones(2, 5, dtype=torch.long), labels=torch.tensor(LABELS))


def logits(model):
    with torch.no_grad():
        return digest(run(model.eval()).logits)


def keys(folder):
    with safe_open(next(Path(folder).glob("*.safetensors")), "pt") as f:
        return sorted(k for k in f.keys() if AT_ENDS.search(k))


def attempt(result, name, work):
    """Notes what comes out, or what Python says instead."""
    try:
        result[name] = work()
    except Exception as e:
        result[name] = {"error": f"{type(e).__name__}: {str(e).splitlines()[0][:160]}"}


def case(kind, make, options):
    load = lambda: MODELS[kind][0].from_pretrained(KIT / kind, attn_implementation="eager").eval()
    result = {"model": kind, "peft_type": make.__name__, "options": options}
    try:
        torch.manual_seed(0)
        model = get_peft_model(load(), make(**copy.deepcopy(options))).eval()
    except Exception as e:
        return {**result, "error": f"{type(e).__name__}: {str(e).splitlines()[0][:160]}"}
    params = fill(model)
    result["trainable"] = model.get_nb_trainable_parameters()[0]
    try:
        out = run(model)
    except Exception as e:
        return {**result, "error": f"{type(e).__name__}: {str(e).splitlines()[0][:160]}"}
    out.loss.backward()
    result |= {"loss": out.loss.item(), "logits": digest(out.logits)}
    result["grad"] = {k: digest(p.grad) for k, p in params.items() if p.grad is not None and AT_ENDS.search(k)}
    with tempfile.TemporaryDirectory() as folder:
        def save():
            model.save_pretrained(folder)
            config = json.loads((Path(folder) / "adapter_config.json").read_text())
            return {"keys": keys(folder), "config": {k: config.get(k) for k in ("target_modules", "modules_to_save", "trainable_token_indices", "ensure_weight_tying")}}
        attempt(result, "saved", save)
        attempt(result, "reloaded", lambda: logits(PeftModel.from_pretrained(load(), folder)))

    def unload():
        merged = model.merge_and_unload()
        return {"logits": logits(merged), "tied": merged.config.tie_word_embeddings}
    attempt(result, "merged", unload)
    return result


if __name__ == "__main__":
    result = {"formula": "0.2 sin(1.3 i + sum of the name's character codes mod 101)", "ids": IDS, "labels": LABELS, "cases": {}}
    for kind, (_, *names) in MODELS.items():
        for name, c in cases(*names).items():
            if kind in FEW and name not in FEW[kind]:
                continue
            result["cases"][f"{kind}: {name}"] = case(kind, *c)
    json.dump(result, open(sys.argv[1], "w"), indent=1)
