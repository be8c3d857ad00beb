"""What tokenizers of tests/kit do with tokens that are added to them.

HF_HUB_OFFLINE=1 python tools/golden/added_tokens.py    (transformers 5.23, tokenizers 0.23.3)
Writes tests/golden/added_tokens.json: of each kind what add_tokens returns, lengths, ids, and what is decoded.
"""

import json
from pathlib import Path

from transformers import AutoTokenizer

root = Path(__file__).resolve().parents[2]
TEXTS = ["Say <query>hello the</query>now <|x|> !", " <query> <query>a", "nothing new"]
out = {}
for folder in sorted((root / "tests/kit/tokenizers").iterdir()):
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # kinds that Python makes of other files
        print(folder.name, error)
        continue
    counts = [tokenizer.add_tokens(["<query>", "</query>", "<query>"]), tokenizer.add_tokens("<|x|>", special_tokens=True)]
    rows = [dict(ids=ids, text=tokenizer.decode(ids), plain=tokenizer.decode(ids, skip_special_tokens=True)) for ids in tokenizer(TEXTS)["input_ids"]]
    out[folder.name] = dict(counts=counts, length=len(tokenizer), rows=rows)
(root / "tests/golden/added_tokens.json").write_text(json.dumps(dict(texts=TEXTS, kinds=out), ensure_ascii=False, indent=1) + "\n")
