#!/usr/bin/env python3
"""How far rounding alone moves a kit's numbers: Python against Python, by other routes, in the limits of the kit's README.

    /tmp/ref/bin/python tools/conformance/rounding.py KIT [--only REGEX]

For every case of a decoder or encoder-decoder, the worst error of each kind of check, as a share of its limit, of
  f64    the same computation in float64: what the numbers would be without rounding
  sdpa   float32 with the other attention
  again  float32 with the same attention, without the merge and unmerge that the kit does before it trains (they move the
         base's weights by their last bit)
Where one of these is above 1, no implementation in float32 can be held to that limit. Pinned as the kit: its requirements.txt.
"""
import argparse, json, re, warnings
from pathlib import Path

import peft as P
import torch
import transformers as T
from safetensors.torch import load_file

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
T.logging.disable_progress_bar()
torch.set_num_threads(1)
AUTO = {"SEQ_2_SEQ_LM": T.AutoModelForSeq2SeqLM, "CAUSAL_LM": T.AutoModelForCausalLM}
ROUTES = {"f64": (torch.float64, "eager"), "sdpa": (torch.float32, "sdpa"), "again": (torch.float32, "eager")}


def run(kit, case, info, expected, dtype, attention):
    base = AUTO[info["task"]].from_pretrained(kit / info["model"], attn_implementation=attention).to(dtype)
    model = P.PeftModel.from_pretrained(base, case, is_trainable=True, autocast_adapter_dtype=False).to(dtype).eval()
    batch = {k[6:]: v for k, v in expected.items() if k.startswith("input.")}
    second = {k[7:]: v for k, v in expected.items() if k.startswith("second.") and "logits" not in k}
    out = model(**batch)
    out.loss.backward()
    named = {k.replace(".default", ""): v for k, v in model.named_parameters() if v.requires_grad}
    got = {"adapted.logits": out.logits.detach(), "adapted.loss": out.loss.detach()}
    got.update({f"grad.{k}": v.grad.clone() for k, v in named.items() if v.grad is not None})
    with torch.no_grad():
        got["second.logits"] = model(**second).logits
    optimizer = torch.optim.AdamW(named.values(), lr=1e-2, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    got["firm.losses"] = torch.stack(losses)
    got.update({f"firm.trained.{k}": v.detach() for k, v in named.items()})
    return got


def share(key, got, want, tolerance):
    error, want = (got.double() - want.double()).abs(), want.double()
    if key.endswith("logits") and want.dim() == 3 and "mask" in tolerance and want.shape[1] == tolerance["mask"].shape[1]:
        error = error * tolerance["mask"][:, :, None]
    if key.startswith(("grad.", "firm.trained.")):
        within = tolerance.get("grad" if key.startswith("grad") else "firm", 1e-4)
        return (error.max() / max(within * want.abs().max().item(), 1e-6)).item()
    within = tolerance.get("firm", 1e-4) if key.startswith("firm") else 1e-4
    return (error / (within * want.abs().clamp(min=1))).max().item()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("kit", type=Path)
    arguments.add_argument("--only", default=".")
    a = arguments.parse_args()
    for case in sorted((a.kit / "cases").iterdir()):
        info = json.loads((case / "case.json").read_text())
        prompt = info["peft_type"] in ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")   # Python cannot train their files further
        if not re.search(a.only, case.name) or info["task"] not in AUTO or prompt: continue
        expected = load_file(case / "expect.safetensors")
        tolerance = dict(info["tolerance"])
        if info["task"] == "CAUSAL_LM": tolerance["mask"] = expected["input.attention_mask"]
        for label, (dtype, attention) in ROUTES.items():
            try: got, worst = run(a.kit, case, info, expected, dtype, attention), {}
            except ValueError as e:                                                     # BLOOM has one attention only
                print(case.name, label, "not there:", str(e).split(".")[0]); continue
            for key, value in got.items():
                kind = key.split(".")[0]
                if key in expected: worst[kind] = max(worst.get(kind, 0), share(key, value, expected[key], tolerance))
            print(case.name, label, ", ".join(f"{k} {v:.2f}" for k, v in worst.items()), flush=True)


main()
