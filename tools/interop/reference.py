#!/usr/bin/env python3
"""Python's side of tools/interop: reads a list of jobs (JSON) and does them with transformers and peft.

    python reference.py JOBS.json

logits: {base, adapter or null, task, batch, out}      train: {base, task, config, batch, steps, out, bin}
"""
import json, sys, warnings

import peft, torch, transformers as T
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
torch.set_num_threads(1)
torch.manual_seed(0)
AUTO = {
    "SEQ_2_SEQ_LM": T.AutoModelForSeq2SeqLM, "CAUSAL_LM": T.AutoModelForCausalLM,
    "SEQ_CLS": T.AutoModelForSequenceClassification, "TOKEN_CLS": T.AutoModelForTokenClassification,
}


def load(job):
    return AUTO[job["task"]].from_pretrained(job["base"], attn_implementation="eager", dtype=torch.float32).eval()


def batch_of(job):
    return {k: torch.tensor(v) for k, v in job["batch"].items()}


def logits(job):
    model = load(job)
    if job["adapter"]: model = peft.PeftModel.from_pretrained(model, job["adapter"]).eval()
    batch = batch_of(job)
    if job["task"] == "CAUSAL_LM": batch.pop("labels", None)  # with labels, an AdaLoRA that does not train fails in Python
    with torch.no_grad(): out = model(**batch).logits
    save_file({"logits": out.contiguous()}, job["out"])


def train(job):
    model = peft.get_peft_model(load(job), peft.get_peft_config(job["config"]))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(job["steps"]):
        model(**batch_of(job)).loss.backward()
        optimizer.step(); optimizer.zero_grad()
    model.save_pretrained(job["out"], safe_serialization=not job["bin"])


for job in json.load(open(sys.argv[1])): {"logits": logits, "train": train}[job["kind"]](job)
