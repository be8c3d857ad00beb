"""Golden numbers of the schedules with options that the conformance kit does not draw.

Run: /tmp/ref/bin/python tools/golden/schedules.py tests/golden/schedules.json   (torch 2.13.0, transformers 5.23.0)
"""
import json
import sys

import torch
import transformers

CASES = [
    ("cosine", {"num_cycles": 1.5}),
    ("polynomial", {"lr_end": 1e-5, "power": 2.0}),
    ("inverse_sqrt", {"timescale": 9}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.2, "num_cycles": 1.0}),
    ("warmup_stable_decay", {"num_decay_steps": 7, "num_stable_steps": 4, "warmup_type": "cosine", "decay_type": "linear", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "warmup_type": "1-sqrt", "decay_type": "1-sqrt"}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "decay_type": "cosine", "num_cycles": 1.5, "min_lr_ratio": 0.05}),
]
rows = []
for name, options in CASES:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    schedule = transformers.get_scheduler(name, optimizer, num_warmup_steps=4, num_training_steps=20, scheduler_specific_kwargs=options)
    rates = []
    for _ in range(26):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    rows.append({"name": name, "options": options, "lr": rates})
with open(sys.argv[1], "w") as file:
    json.dump(rows, file, indent=1)
    file.write("\n")
