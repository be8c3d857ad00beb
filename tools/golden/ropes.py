"""Writes tests/golden/ropes.json: logits of the kit's Llama with each kind of rope, short and beyond the context of pretraining.

    /tmp/ref/bin/python tools/golden/ropes.py        (torch 2.13.0, transformers 5.23.0)
"""
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

torch.set_num_threads(1)
root = Path(__file__).resolve().parents[2]
ROPES = [
    dict(rope_type="linear", factor=2.5),
    dict(type="dynamic", factor=4.0),
    dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16),
    dict(type="yarn", factor=4.0),
    dict(rope_type="yarn", factor=8.0, original_max_position_embeddings=16, attention_factor=1.5, beta_fast=16, beta_slow=2),
    dict(rope_type="yarn", factor=8.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=1.3, truncate=False),
    dict(rope_type="yarn", factor=8.0, original_max_position_embeddings=16, mscale=1.0),
    dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16),
    dict(rope_type="longrope", factor=4.0, original_max_position_embeddings=16, short_factor=[1.0, 1.1, 1.5, 2.0], long_factor=[1.0, 2.0, 3.5, 4.0]),
    dict(rope_type="longrope", original_max_position_embeddings=16, attention_factor=1.25, short_factor=[1.0, 1.1, 1.5, 2.0], long_factor=[1.0, 2.0, 3.5, 4.0]),
]
cases = []
for rope in ROPES:
    for length in (8, 40, 72):
        ids = torch.tensor([[(7 * i + 5) % 96 for i in range(length)]])
        raw = json.loads((root / "tests/kit/models/llama/config.json").read_text())
        config = LlamaConfig.from_dict(raw | dict(rope_scaling=dict(rope)))
        model = AutoModelForCausalLM.from_pretrained(root / "tests/kit/models/llama", config=config, dtype=torch.float32, attn_implementation="eager")
        with torch.no_grad():
            logits = model(ids).logits
        cases.append(dict(rope=rope, length=length, sum=logits.abs().sum().item(), last=logits[0, -1, :8].tolist()))
(root / "tests/golden/ropes.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
