#!/usr/bin/env python3
"""Greedy decoding with transformers on the CPU, as a baseline for `npm run bench -- decode`. Prints one JSON line.

    /tmp/ref/bin/python reference_decode.py FOLDER --prompt 5,6,7 --new 64 [--dtype bf16] [--threads 2] [--runs 3]
"""
import argparse
import json
import resource
import time
import warnings

warnings.filterwarnings("ignore")
import torch
import transformers as T

T.logging.set_verbosity_error()
T.logging.disable_progress_bar()
a = argparse.ArgumentParser()
a.add_argument("folder")
a.add_argument("--prompt", required=True)
a.add_argument("--new", type=int, default=64)
a.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
a.add_argument("--threads", type=int, default=2)
a.add_argument("--runs", type=int, default=3)
o = a.parse_args()
torch.set_num_threads(o.threads)
dtype = torch.bfloat16 if o.dtype == "bf16" else torch.float32
model = T.AutoModelForCausalLM.from_pretrained(o.folder, dtype=dtype).eval()
ids = torch.tensor([[int(x) for x in o.prompt.split(",")]])


def seconds(new):
    start = time.perf_counter()
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new, do_sample=False
    )
    return time.perf_counter() - start, out[0, ids.shape[1] :].tolist()


seconds(2)
first, whole = [], []
for _ in range(o.runs):
    first.append(seconds(1)[0])
    time_whole, tokens = seconds(o.new)
    whole.append(time_whole)
median = lambda x: sorted(x)[len(x) // 2]
print(
    json.dumps(
        {
            "first": median(first),
            "whole": median(whole),
            "tokens": tokens,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    )
)
