"""Classifies the rows of a JSONL file by transformers' pipeline: predict_reference.py MODEL ROWS --batch N

Prints {"seconds": ...} without loading; rows are sorted by nothing, as the pipeline takes them.
"""

import argparse
import json
import time

import torch
from transformers import pipeline

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("rows")
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--threads", type=int)
args = parser.parse_args()
if args.threads is not None:
    torch.set_num_threads(args.threads)
with open(args.rows) as file:
    texts = [json.loads(line)["text"] for line in file]
classify = pipeline("text-classification", args.model, device="cpu", batch_size=args.batch)
classify(texts[: 4 * args.batch])
began = time.perf_counter()
answers = sum(1 for _ in classify(text for text in texts))
print(json.dumps({"seconds": time.perf_counter() - began, "answers": answers}))
