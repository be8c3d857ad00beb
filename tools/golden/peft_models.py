"""Golden numbers for tests/contracts/python.test.ts: adapters in odd places (tied heads, heads, biases, several at once).

Run: /tmp/ref/bin/python tools/golden/peft_models.py tests/golden/peft.json, then npx biome format --write on it   (torch 2.13.0, transformers 5.23.0, peft 0.21.2)
Parameters are set by a formula of their saved names, so that no weights need to be stored.
"""
import json
import math
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, IA3Config, get_peft_model, get_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

warnings.simplefilter("ignore")
torch.set_num_threads(1)
KIT = Path(__file__).parent.parent.parent / "tests/kit/models"
AUTO = {"t5": AutoModelForSeq2SeqLM, "llama": AutoModelForCausalLM, "bert": AutoModelForSequenceClassification}
IDS = [[5, 7, 9, 11, 3, 0, 0], [9, 40, 41, 42, 43, 44, 45]]
MASK = [[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]]
LABELS = {"t5": [[7, 9, 60, -100], [3, 11, 2, 1]], "llama": [[-100, -100, 9, 11, 3, -100, -100], [-100, 40, 41, 42, 43, 44, 45]], "bert": [[1], [3]]}

CASES = {
    "tokens": ("t5", LoraConfig, {"target_modules": ["q"], "trainable_token_indices": [7, 9, 60]}),
    "tokens-llama": ("llama", LoraConfig, {"target_modules": ["q_proj"], "trainable_token_indices": [7, 9, 60]}),
    "tied-head-lora": ("t5", LoraConfig, {"target_modules": ["q", "lm_head"]}),
    "tied-head-saved": ("t5", LoraConfig, {"target_modules": ["q"], "modules_to_save": ["lm_head"]}),
    "head-lora": ("llama", LoraConfig, {"target_modules": ["q_proj", "lm_head"]}),
    "head-saved": ("llama", LoraConfig, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]}),
    "module-of-modules": ("bert", LoraConfig, {"target_modules": ["query"], "modules_to_save": ["pooler"], "task_type": "SEQ_CLS"}),
    "bias-all": ("bert", LoraConfig, {"target_modules": ["query"], "bias": "all", "task_type": "SEQ_CLS"}),
    "bias-of-its-own": ("bert", LoraConfig, {"target_modules": ["query"], "bias": "all", "lora_bias": True, "task_type": "SEQ_CLS"}),
    "ia3": ("bert", IA3Config, {"target_modules": ["key", "output.dense"], "feedforward_modules": ["output.dense"], "task_type": "SEQ_CLS"}),
}


def formula(name, n):
    h = sum(map(ord, name)) % 101
    return torch.tensor([0.2 * math.sin(1.3 * i + h) for i in range(n)])


def fill(model, adapter):
    """Sets every trainable tensor by its saved name; returns saved name -> parameter."""
    known = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        key = name.replace(f".{adapter}.", ".").removesuffix(f".{adapter}").replace(".modules_to_save", "")
        key = key.replace(f".original_module", "")
        with torch.no_grad():
            p.copy_(formula(key, p.numel()).reshape(p.shape))
        known[key] = p
    return known


def batch(model):
    x = {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(MASK)}
    labels = torch.tensor(LABELS[model])
    return {**x, "labels": labels.flatten() if model == "bert" else labels}


def plain(t):
    return [float(f"{x:.6g}") for x in t.detach().flatten().tolist()]


def digest(t):
    """A gradient in few numbers: its sum, its norm, and a weighted sum that sees the order."""
    t = t.flatten().double()
    w = torch.cos(torch.arange(t.numel(), dtype=torch.float64))
    return [float(f"{x:.6g}") for x in (t.sum(), t.norm(), (t * w).sum())]


def numbers(model, kind, params):
    out = model(**batch(kind))
    out.loss.backward()
    grads = {k: digest(p.grad) for k, p in params.items() if p.grad is not None}
    return {"loss": out.loss.item(), "logits": digest(out.logits[torch.tensor(MASK) == 1] if kind == "llama" else out.logits), "grad": grads}


def case(kind, make, options):
    base = AUTO[kind].from_pretrained(KIT / kind, attn_implementation="eager").eval()
    extra = {"r": 4, "lora_alpha": 6} if make is LoraConfig else {}
    model = get_peft_model(base, make(**extra, **options)).eval()
    params = fill(model, "default")
    result = {"model": kind, "peft_type": str(make.__name__), "options": {**extra, **options}, **numbers(model, kind, params)}
    result["saved"] = sorted(get_peft_model_state_dict(model, save_embedding_layers=False))
    model.merge_adapter()
    with torch.no_grad():
        out = model(**batch(kind)).logits
    result["merged"] = digest(out[torch.tensor(MASK) == 1] if kind == "llama" else out)
    return result


def together():
    """Two adapters active and trained at once."""
    base = AUTO["llama"].from_pretrained(KIT / "llama", attn_implementation="eager").eval()
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj"]), "one")
    model.add_adapter("two", LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"]))
    params = {}
    for name in ("one", "two"):
        model.set_adapter(name)
        params.update({f"{name}/{k}": p for k, p in fill(model, name).items()})
    model.base_model.set_adapter(["one", "two"])
    return numbers(model.eval(), "llama", params)


def pissa_disabled():
    base = AUTO["llama"].from_pretrained(KIT / "llama", attn_implementation="eager").eval()
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights="pissa")).eval()
    with torch.no_grad(), model.disable_adapter():
        return digest(model(**batch("llama")).logits[torch.tensor(MASK) == 1])


result = {"formula": "0.2 sin(1.3 i + sum of the name's character codes mod 101)", "ids": IDS, "mask": MASK, "labels": LABELS}
result["cases"] = {name: case(*c) for name, c in CASES.items()}
result["together"] = together()
result["pissaDisabled"] = pissa_disabled()
json.dump(result, open(sys.argv[1], "w"), indent=1)
