"""TRL's DPO for bench/dpo.ts: dpo_reference.py MODEL FOLDER --steps N --batch N --threads N

FOLDER has pairs.jsonl and adapter/, as peft.js wrote them. Prints losses and seconds of each step.
"""

import argparse
import json
import os
import time

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TQDM_DISABLE="1", TRL_EXPERIMENTAL_SILENCE="1")
import torch
import transformers
from datasets import Dataset
from peft import PeftModel
from trl import DPOConfig, DPOTrainer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("folder")
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(args.threads)
transformers.logging.set_verbosity_error()
tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
base = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
model = PeftModel.from_pretrained(base, f"{args.folder}/adapter", is_trainable=True)
with open(f"{args.folder}/pairs.jsonl") as file:
    rows = Dataset.from_list([json.loads(line) for line in file])


class Clock(transformers.TrainerCallback):
    def __init__(self):
        self.losses, self.seconds, self.began = [], [], None

    def on_step_begin(self, *_, **__):
        self.began = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.began)

    def on_log(self, _args, _state, _control, logs, **__):
        if "loss" in logs:
            self.losses.append(logs["loss"])


clock = Clock()
config = DPOConfig(
    output_dir=f"{args.folder}/trl", report_to="none", save_strategy="no", logging_steps=1, use_cpu=True, bf16=False,
    gradient_checkpointing=False, per_device_train_batch_size=args.batch, max_steps=args.steps, learning_rate=1e-4,
    train_sampling_strategy="sequential", max_length=128, precompute_ref_log_probs=True, disable_tqdm=True,
)
trainer = DPOTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer, callbacks=[clock])
trainer.train()
print(json.dumps({"losses": clock.losses, "seconds": clock.seconds}))
