"""Golden numbers for src/train/adamw.test.ts: torch.optim.AdamW and clip_grad_norm_ in f32 over 50 steps.

Run: /tmp/ref/bin/python tools/golden/adamw.py tests/golden/adamw.json   (torch 2.13.0)
Gradients are not stored: both sides compute them, exactly, from the small integers of a linear congruential generator.
"""
import json
import sys

import torch

torch.set_num_threads(1)
STEPS = 50
SHAPES = {"matrix": (5, 7), "bias": (6,)}
CASES = {
    "default": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "max_norm": None, "no_decay": []},
    "odd": {"lr": 0.037, "betas": (0.83, 0.937), "eps": 1e-3, "weight_decay": 0.7, "max_norm": None, "no_decay": []},
    "small-beta": {"lr": 0.02, "betas": (0.3, 0.5), "eps": 1e-8, "weight_decay": 0.0, "max_norm": None, "no_decay": []},
    "clipped": {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1, "max_norm": 0.5, "no_decay": ["bias"]},
}
KEPT = (1, 2, 10, 50)


def integers(seed):
    """Integers in [0, 65536): the high bits of x -> 1664525 x + 1013904223 mod 2^32."""
    x = seed
    while True:
        x = (1664525 * x + 1013904223) % 2**32
        yield x >> 16


def draw(source, shape, scale):
    count = torch.Size(shape).numel()
    return torch.tensor([(next(source) - 32768) * scale for _ in range(count)], dtype=torch.float32).reshape(shape)


def run(case):
    source = integers(7)
    start = {name: torch.nn.Parameter(draw(source, shape, 2.0**-15)) for name, shape in SHAPES.items()}
    groups = [{"params": [p], "weight_decay": 0.0 if name in case["no_decay"] else case["weight_decay"]} for name, p in start.items()]
    optimizer = torch.optim.AdamW(groups, lr=case["lr"], betas=case["betas"], eps=case["eps"], foreach=False)
    norms, kept = [], {}
    for step in range(1, STEPS + 1):
        count = step % 5 + 1  # the gradient is a sum over `count` tokens
        for group in optimizer.param_groups:
            group["lr"] = case["lr"] * (1 - (step - 1) / 100)
        for p in start.values():
            p.grad = draw(source, p.shape, 2.0**-13) / count
        norm = torch.nn.utils.clip_grad_norm_(start.values(), case["max_norm"] or float("inf"))
        norms.append(norm.item())
        optimizer.step()
        if step in KEPT:
            kept[step] = {name: p.detach().flatten().tolist() for name, p in start.items()}
    moments = {name: {key: optimizer.state[p][key].flatten().tolist() for key in ("exp_avg", "exp_avg_sq")} for name, p in start.items()}
    return {"options": case, "norms": norms, "kept": kept, "moments": moments}


cases = {name: run(case) for name, case in CASES.items()}
with open(sys.argv[1], "w") as file:
    json.dump({"torch": torch.__version__, "shapes": SHAPES, "steps": STEPS, "cases": cases}, file)
    file.write("\n")
