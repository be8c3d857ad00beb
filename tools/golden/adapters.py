"""Golden numbers for src/methods/*.test.ts: one adapted layer at a time, prompt encoders, and starts that need the base's weight.

Run: /tmp/ref/bin/python tools/golden/adapters.py tests/golden/adapters.json, then npx biome format --write on it   (torch 2.13.0, transformers 5.23.0, peft 0.21.2)
"""
import json
import sys
import warnings

import peft
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
    "wide": lambda: torch.nn.Linear(8, 4),
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
# Further methods, each with its own options and on a layer whose widths have divisors; the names are the command line's
OTHERS = {
    "adalora": (peft.AdaLoraConfig, {"init_r": 3, "lora_alpha": 4, "total_step": 10}),
    "beft": (peft.BeftConfig, {}),
    "boft": (peft.BOFTConfig, {"boft_block_size": 4}),
    "c3a": (peft.C3AConfig, {"block_size": 4}),
    "deft": (peft.DeftConfig, {"r": 2, "alpha": 3}),
    "deft-qr": (peft.DeftConfig, {"r": 3, "decomposition_method": "qr"}),
    "deft-para": (peft.DeftConfig, {"r": 4, "decomposition_method": "qr", "para": True}),
    "delora": (peft.DeloraConfig, {"r": 2}),
    "fourierft": (peft.FourierFTConfig, {"n_frequency": 5}),
    "glora": (peft.GloraConfig, {"r": 2}),
    "glora-vectors": (peft.GloraConfig, {"config_A_B": "vector", "config_C": "vector", "config_D_E": "vector"}),
    "glora-constants": (peft.GloraConfig, {"config_A_B": "constant", "config_C": "none", "config_D_E": "none"}),
    "gralora": (peft.GraloraConfig, {"r": 2, "gralora_k": 2}),
    "hira": (peft.HiraConfig, {"r": 2}),
    "hra": (peft.HRAConfig, {"r": 3}),
    "loha": (peft.LoHaConfig, {"r": 2, "alpha": 3}),
    "lokr": (peft.LoKrConfig, {"r": 1, "alpha": 3}),
    "miss": (peft.MissConfig, {"r": 3}),
    "miss-bat": (peft.MissConfig, {"r": 2, "init_weights": "bat"}),
    "oft": (peft.OFTConfig, {"oft_block_size": 4}),
    "oft-exact": (peft.OFTConfig, {"oft_block_size": 4, "use_cayley_neumann": False}),
    "osf": (peft.OSFConfig, {"effective_rank": 2}),
    "peanut": (peft.PeanutConfig, {"r": 3, "depth": 2, "act_fn": "gelu", "scaling": 2.0}),
    "pvera": (peft.PveraConfig, {"r": 3, "projection_prng_key": 7}),
    "randlora": (peft.RandLoraConfig, {"r": 2, "randlora_alpha": 4}),
    "road": (peft.RoadConfig, {"group_size": 4}),
    "road-4": (peft.RoadConfig, {"group_size": 2, "variant": "road_4"}),
    "shira": (peft.ShiraConfig, {"r": 1, "random_seed": 5}),
    "supertuning": (peft.SupertuningConfig, {"sparsity": 0.7, "r": 2, "lora_alpha": 3}),
    "tinylora": (peft.TinyLoraConfig, {"r": 2, "u": 5}),
    "unilora": (peft.UniLoraConfig, {"r": 2, "theta_d_length": 7}),
    "waveft": (peft.WaveFTConfig, {"n_frequency": 9, "wavelet_family": "sym4", "scaling": 2.0}),
    "waveft-coif": (peft.WaveFTConfig, {"n_frequency": 9, "wavelet_family": "coif1", "scaling": 2.0}),
    "vblora": (peft.VBLoRAConfig, {"r": 2, "num_vectors": 5, "vector_length": 4}),
    "vera": (peft.VeraConfig, {"r": 3, "projection_prng_key": 7}),
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
    x = torch.randint(0, VOCAB, ROWS) if kind == "embedding" else torch.randn(*ROWS, 8 if kind == "wide" else IN)
    model = get_peft_model(Model(layer), make(target_modules=["layer"], **options))
    model.eval()
    for name, p in model.named_parameters():
        if "base_layer" not in name and "ranknum" not in name:
            torch.nn.init.normal_(p, std=0.3 if kind == "wide" else 1.0)
    short = lambda key: key.removeprefix("base_model.").removeprefix("model.layer.")
    state = {short(k): plain(v) for k, v in get_peft_model_state_dict(model, save_embedding_layers=False).items()}
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


def ranks_case():
    """AdaLoRA's allocator on two layers, fed with gradients: the singular values that are left after each step."""
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 3), "b": torch.nn.Linear(3, 4)})
    model.forward = lambda x: model["b"](model["a"](x))
    schedule = {"init_r": 3, "target_r": 1, "tinit": 1, "tfinal": 1, "deltaT": 2, "total_step": 8, "beta1": 0.7, "beta2": 0.6}
    adapted = get_peft_model(model, peft.AdaLoraConfig(target_modules=["a", "b"], **schedule))
    named = {k.removeprefix("base_model.model.").replace(".default", ""): p for k, p in adapted.named_parameters() if p.requires_grad}
    for p in named.values():
        torch.nn.init.normal_(p)
    case = {"schedule": schedule, "tensors": {k: plain(p) for k, p in named.items()}, "steps": []}
    for step in range(1, 9):
        gradients = {k: torch.randn_like(p) for k, p in named.items()}
        for k, p in named.items():
            p.grad = gradients[k]
        adapted.base_model.update_and_allocate(step)
        left = {k: plain(p) for k, p in named.items() if k.endswith("lora_E")}
        case["steps"].append({"gradients": {k: plain(v) for k, v in gradients.items()}, "left": left})
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
        "others": {name: layer_case("wide", *case) for name, case in OTHERS.items()},
        "ranks": ranks_case(),
        "encoders": {name: encoder_case(*case) for name, case in ENCODERS.items()},
        "starts": {"weight": plain(start_weight()), "cases": {name: start_case(*case) for name, case in STARTS.items()}},
    }
    with open(sys.argv[1], "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")


main()
