"""Golden numbers for src/adapters/*.test.ts: one adapted layer at a time, prompt encoders, and starts that need the base's weight.

Run: /tmp/ref/bin/python tools/golden/adapters.py tests/golden/adapters.json, then npx biome format --write on it   (torch 2.13.0, transformers 5.23.0, peft 0.21.2)
"""
import json
import sys
import warnings

import torch
from peft import (
    IA3Config,
    LoraConfig,
    PrefixEncoder,
    PrefixTuningConfig,
    PromptEncoder,
    PromptEncoderConfig,
    get_peft_model,
    get_peft_model_state_dict,
)
from transformers.pytorch_utils import Conv1D

warnings.simplefilter("ignore")
torch.set_num_threads(1)
IN, OUT, VOCAB, ROWS = 5, 4, 7, (2, 3)
LAYERS = {
    "linear": lambda: torch.nn.Linear(IN, OUT),
    "conv1d": lambda: Conv1D(OUT, IN),
    "embedding": lambda: torch.nn.Embedding(VOCAB, OUT),
}
LORA = {"r": 2, "lora_alpha": 3}
IA3 = {"init_ia3_weights": False}
CASES = {
    "lora": ("linear", LoraConfig, LORA),
    "lora-rslora-bias": ("linear", LoraConfig, {**LORA, "use_rslora": True, "lora_bias": True}),
    "lora-conv1d": ("conv1d", LoraConfig, {**LORA, "fan_in_fan_out": True}),
    "lora-dropout": ("linear", LoraConfig, {**LORA, "lora_dropout": 0.5}),
    "lora-embedding": ("embedding", LoraConfig, LORA),
    "dora": ("linear", LoraConfig, {**LORA, "use_dora": True}),
    "dora-conv1d": ("conv1d", LoraConfig, {**LORA, "use_dora": True, "fan_in_fan_out": True}),
    "dora-dropout": ("linear", LoraConfig, {**LORA, "use_dora": True, "lora_dropout": 0.5}),
    "dora-embedding": ("embedding", LoraConfig, {**LORA, "use_dora": True}),
    "ia3": ("linear", IA3Config, {**IA3, "feedforward_modules": []}),
    "ia3-feedforward": ("linear", IA3Config, {**IA3, "feedforward_modules": ["layer"]}),
    "ia3-conv1d": ("conv1d", IA3Config, {**IA3, "feedforward_modules": [], "fan_in_fan_out": True}),
    "ia3-feedforward-conv1d": ("conv1d", IA3Config, {**IA3, "feedforward_modules": ["layer"], "fan_in_fan_out": True}),
}
SIZES = {"num_virtual_tokens": 3, "token_dim": 4, "num_attention_heads": 2, "num_layers": 2}
ENCODERS = {
    "prefix-projection": (PrefixEncoder, PrefixTuningConfig, {"prefix_projection": True, "encoder_hidden_size": 3, "num_transformer_submodules": 1}),
    "p-tuning": (PromptEncoder, PromptEncoderConfig, {"encoder_hidden_size": 3, "num_transformer_submodules": 1}),
    "p-tuning-lstm": (PromptEncoder, PromptEncoderConfig, {"encoder_hidden_size": 3, "encoder_reparameterization_type": "LSTM", "num_transformer_submodules": 2}),
}
STARTS = {
    "pissa": ("linear", {"init_lora_weights": "pissa"}),
    "pissa-conv1d": ("conv1d", {"init_lora_weights": "pissa", "fan_in_fan_out": True}),
    "olora": ("linear", {"init_lora_weights": "olora"}),
}


class Model(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


def plain(tensor):
    return {"shape": list(tensor.shape), "data": [float(f"{x:.9g}") for x in tensor.detach().double().flatten().tolist()]}


def layer_case(kind, make, options):
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    torch.nn.init.normal_(layer.weight)
    if kind != "embedding":
        torch.nn.init.normal_(layer.bias)
    base = {"weight": plain(layer.weight), "bias": None if kind == "embedding" else plain(layer.bias)}
    x = torch.randint(0, VOCAB, ROWS) if kind == "embedding" else torch.randn(*ROWS, IN)
    model = get_peft_model(Model(layer), make(target_modules=["layer"], **options))
    model.eval()
    for name, p in model.named_parameters():
        if "base_layer" not in name:
            torch.nn.init.normal_(p)
    prefix = "base_model.model.layer."
    state = {k.removeprefix(prefix): plain(v) for k, v in get_peft_model_state_dict(model, save_embedding_layers=False).items()}
    case = {"kind": kind, "options": options, "base": base, "x": plain(x), "parameters": state, "y": plain(model(x))}
    if options.get("lora_dropout"):
        seen = {}
        model.base_model.model.layer.lora_dropout["default"].register_forward_hook(lambda m, i, o: seen.update(i=i[0], o=o))
        model.train()
        case["dropped"] = {"y": plain(model(x)), "factor": plain(seen["o"] / seen["i"])}
        model.eval()
    model.merge_adapter()
    merged = model.base_model.model.layer.base_layer
    case["merged"] = {"weight": plain(merged.weight), "bias": None if kind == "embedding" else plain(merged.bias)}
    return case


def encoder_case(make, config_class, options):
    torch.manual_seed(0)
    config = config_class(**SIZES, **options)
    encoder = make(config)
    table = encoder.embedding.weight
    rows = torch.arange(table.shape[0])[None]
    state = {k: plain(v) for k, v in encoder.state_dict().items()}
    return {"options": {**SIZES, **options}, "parameters": state, "y": plain(encoder(rows)[0])}


def start_weight():
    torch.manual_seed(0)
    return torch.randn(24, 16)


def start_case(kind, options):
    weight = start_weight()
    layer = torch.nn.Linear(16, 24) if kind == "linear" else Conv1D(24, 16)
    layer.weight.data = weight.clone() if kind == "linear" else weight.T.clone()
    model = get_peft_model(Model(layer), LoraConfig(target_modules=["layer"], r=4, lora_alpha=6, **options))
    left = model.base_model.model.layer.base_layer.weight
    return {"kind": kind, "options": {"r": 4, "lora_alpha": 6, **options}, "residual": plain(left if kind == "linear" else left.T)}


def main():
    golden = {
        "layers": {name: layer_case(*case) for name, case in CASES.items()},
        "encoders": {name: encoder_case(*case) for name, case in ENCODERS.items()},
        "starts": {"weight": plain(start_weight()), "cases": {name: start_case(*case) for name, case in STARTS.items()}},
    }
    with open(sys.argv[1], "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")


main()
