"""Answers sampled by transformers' generate, in groups: tokens a second."""
import argparse
import json
import time

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--prompts", type=json.loads)
parser.add_argument("--answers", type=int)
parser.add_argument("--new", type=int)
args = parser.parse_args()
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()
width = max(map(len, args.prompts))
ids = torch.tensor([[0] * (width - len(p)) + p for p in args.prompts])
mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in args.prompts])
options = dict(attention_mask=mask, do_sample=True, top_k=0, num_return_sequences=args.answers, pad_token_id=0)
with torch.no_grad():
    model.generate(ids, **options, max_new_tokens=2, min_new_tokens=2)
    start = time.perf_counter()
    out = model.generate(ids, **options, max_new_tokens=args.new, min_new_tokens=args.new)
    seconds = time.perf_counter() - start
print(json.dumps({"tokens_per_second": len(out) * args.new / seconds}))
