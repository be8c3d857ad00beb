"""Loads what tools/interop/bottleneck.ts saved with the library "adapters" 1.3.0 and compares logits. See there; environment: tools/golden/bottleneck.py"""
import json
import sys
from pathlib import Path

import adapters
import torch
from transformers import BertForSequenceClassification

model, out = sys.argv[1], Path(sys.argv[2])
for name, logits in json.loads((out / "logits.json").read_text()).items():
    base = BertForSequenceClassification.from_pretrained(model, attn_implementation="eager", dtype=torch.float32).eval()
    adapters.init(base)
    base.set_active_adapters(base.load_adapter(str(out / name), use_safetensors=True))
    got = base(input_ids=torch.tensor([[5, 7, 9, 11, 3], [9, 40, 41, 42, 43]])).logits.flatten()
    far = float((got - torch.tensor(logits)).abs().max())
    print(name, far)
    assert far < 1e-4, name
