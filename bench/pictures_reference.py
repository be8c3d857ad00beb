# What bench/pictures.ts is compared with: transformers' processor with Pillow, and PEFT's LoRA on the same batches.
import json, resource, sys, time
from concurrent.futures import ProcessPoolExecutor

import torch
import transformers
from PIL import Image

what, model, listed, last = sys.argv[1:5]
processor = transformers.AutoImageProcessor.from_pretrained(model, backend="pil")


def see(path):
    return processor(Image.open(path).convert("RGB"), return_tensors="np")["pixel_values"][0]


def read():
    paths = json.load(open(listed))
    with ProcessPoolExecutor(int(last)) as pool:
        list(pool.map(see, paths, chunksize=8))
        began = time.perf_counter()
        list(pool.map(see, paths, chunksize=8))
        return dict(rate=len(paths) / (time.perf_counter() - began))


def train():
    from peft import PeftModel

    data = json.load(open(listed))
    torch.manual_seed(0)
    base = transformers.AutoModelForImageClassification.from_pretrained(model, num_labels=data["classes"], attn_implementation="sdpa")
    adapted = PeftModel.from_pretrained(base, last, is_trainable=True).train()
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0)
    losses, times = [], []
    for paths in data["order"]:
        pixels = torch.stack([torch.from_numpy(see(path)) for path in paths])
        labels = torch.tensor([data["labels"][path] for path in paths])
        began = time.perf_counter()
        loss = adapted(pixel_values=pixels, labels=labels).loss
        loss.backward(); optimizer.step(); optimizer.zero_grad()
        times.append(time.perf_counter() - began); losses.append(loss.item())
    return dict(losses=losses, times=times, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


print(json.dumps(read() if what == "read" else train()))
