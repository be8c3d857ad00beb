"""Golden ids of transformers' generate() on a model whose scores are a hash of the last two tokens.

    /tmp/ref/bin/python tools/golden/generate.py tests/golden/generate.json

Pinned: torch 2.13.0, transformers 5.23.0. Seeded: SEED. src/generate/golden.test.ts drives a Stepper with the same hash.
"""
import json
import random
import sys
import warnings

import torch
import transformers
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

assert transformers.__version__ == "5.23.0" and torch.__version__.startswith("2.13.0")
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()

SEED, VOCAB, CASES = 7, 32, 100
MASK = 0xFFFFFFFF


def hashed(a, b, c):
    """Score of token c after tokens a, b: 24 bits of a hash, exact in f32, in [-4, 4)."""
    h = (a * 0x9E3779B1 ^ b * 0x85EBCA77 ^ c * 0xC2B2AE3D) & MASK
    h = ((h ^ (h >> 15)) * 0x2C1B3C6D) & MASK
    h = ((h ^ (h >> 12)) * 0x297A2D39) & MASK
    h ^= h >> 15
    return (h >> 8) / (1 << 21) - 4.0


TABLE = torch.tensor([[[hashed(a, b, c) for c in range(VOCAB)] for b in range(VOCAB)] for a in range(VOCAB)])


class HashedConfig(PreTrainedConfig):
    model_type = "hashed"


class Hashed(PreTrainedModel, GenerationMixin):
    config_class = HashedConfig

    def __init__(self, config):
        super().__init__(config)
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask=None, **_):
        before = torch.nn.functional.pad(input_ids[:, :-1], (1, 0))
        return CausalLMOutput(logits=TABLE[before, input_ids])


def draw(r, index):
    """One random combination of settings: prompt, mask, options."""
    lengths = [1, 1, 1] if index % 5 == 4 else [r.randint(1, 6) for _ in range(r.choice([1, 3, 3]))]
    width, pad = max(lengths), r.choice([0, 3])
    ids = [[pad] * (width - n) + [r.randrange(4, VOCAB) for _ in range(n)] for n in lengths]
    mask = [[0] * (width - n) + [1] * n for n in lengths]
    o = {"pad_token_id": pad}
    eos = r.sample(range(4, VOCAB), r.choice([1, 1, 2, 4]))
    if r.random() < 0.9: o["eos_token_id"] = eos if len(eos) > 1 else eos[0]
    if r.random() < 0.15 and "eos_token_id" in o: del o["pad_token_id"]
    if r.random() < 0.75: o["max_new_tokens"] = r.randint(1, 14)
    elif r.random() < 0.6: o["max_length"] = width + r.randint(1, 12)
    if r.random() < 0.3: o["min_new_tokens"] = r.randint(1, 6)
    elif r.random() < 0.2: o["min_length"] = r.randint(1, width + 5)
    if r.random() < 0.35: o["repetition_penalty"] = r.choice([1.2, 1.5, 0.8])
    if r.random() < 0.35: o["no_repeat_ngram_size"] = r.choice([1, 2, 2, 3])
    if r.random() < 0.15: o["bad_words_ids"] = [[r.randrange(VOCAB)], [r.randrange(VOCAB), r.randrange(VOCAB)], eos[:1]]
    if r.random() < 0.15: o["suppress_tokens"] = r.sample(range(VOCAB), 5)
    if r.random() < 0.15: o["begin_suppress_tokens"] = r.sample(range(VOCAB), 12)
    if width == 1 and r.random() < 0.5: o["forced_bos_token_id"] = r.randrange(VOCAB)
    if r.random() < 0.15 and "eos_token_id" in o: o["forced_eos_token_id"] = r.choice([eos, eos[0]])
    if index % 3:
        o["num_beams"] = r.randint(2, 5)
        if "forced_eos_token_id" in o: o["forced_eos_token_id"] = eos[0]  # several would tie: torch.topk's order
        if r.random() < 0.8: o["early_stopping"] = r.choice([True, False, "never"])
        if r.random() < 0.7: o["length_penalty"] = r.choice([-1.0, -0.5, 0.0, 0.5, 1.5, 2.0, 3.0])
        if r.random() < 0.5: o["num_return_sequences"] = r.randint(1, o["num_beams"])
    return {"ids": ids, "mask": mask, "options": o}


def warped(model, r):
    """Scores that sampling draws from at the first step: the order of rules. None: -inf."""
    cases = []
    for index in range(16):
        o = {"eos_token_id": [5, 9], "pad_token_id": 0, "max_new_tokens": 1}
        if r.random() < 0.7: o["temperature"] = r.choice([0.5, 0.7, 1.7])
        o["top_k"] = r.choice([0, 1, 5, 12, 50])
        if r.random() < 0.6: o["top_p"] = r.choice([0.1, 0.6, 0.9])
        if r.random() < 0.4: o["min_p"] = r.choice([0.05, 0.2])
        if r.random() < 0.4: o["typical_p"] = r.choice([0.2, 0.8])
        if r.random() < 0.4: o["repetition_penalty"] = 1.4
        if r.random() < 0.4: o["min_new_tokens"] = 1
        if index % 2: o["num_beams"] = 3
        ids = [[r.randrange(VOCAB) for _ in range(8)]]
        out = model.generate(torch.tensor(ids), do_sample=True, use_cache=False, return_dict_in_generate=True, output_scores=True, **o)
        row = [None if x == float("-inf") else round(x, 6) for x in out.scores[0][0].tolist()]
        cases.append({"ids": ids, "options": o, "scores": row})
    return cases


def main(path):
    torch.set_num_threads(1)
    model, r, cases = Hashed(HashedConfig(vocab_size=VOCAB, use_cache=False)).eval(), random.Random(SEED), []
    for index in range(CASES):
        case = draw(r, index)
        o = case["options"]
        suppressed, forced = set(o.get("suppress_tokens", [])), o.get("forced_bos_token_id", -1)
        if forced in suppressed: continue
        if "num_beams" in o and str(forced) in str(o.get("eos_token_id", [])).strip("[]").split(", "):
            continue  # one sequence ends at once, the other answers are unfinished ones that tie at -1e9: torch.topk's order
        try:
            out = model.generate(torch.tensor(case["ids"]), attention_mask=torch.tensor(case["mask"]), do_sample=False, use_cache=False,
                                 return_dict_in_generate=True, output_scores=True, **case["options"])
        except ValueError as error:
            case["error"] = str(error).split(".")[0]
        else:
            case["sequences"] = out.sequences.tolist()
            if "num_beams" in case["options"]: case["scores"] = [round(x, 6) for x in out.sequences_scores.tolist()]
        cases.append(case)
    with open(path, "w") as file:
        lines = [",\n".join(json.dumps(c, separators=(",", ":")) for c in part) for part in (cases, warped(model, r))]
        file.write('{"vocab":%d,"cases":[\n%s\n],"warped":[\n%s\n]}\n' % (VOCAB, *lines))
    print(len(cases), "cases,", sum("error" in c for c in cases), "errors,", sum("scores" in c for c in cases), "with beams")


main(sys.argv[1])
