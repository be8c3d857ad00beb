"""SentencePiece files of a few kB, and what transformers' own classes make of texts with them.

    /tmp/ref/bin/python tools/golden/piece_files.py tests/golden/sentencepiece

transformers 5.23.0, sentencepiece 0.2.3; the tokenizers are built from the .model file alone.
"""
import json
import os
import shutil
import sys
import tempfile

import sentencepiece as spm
from transformers import AlbertTokenizer, GemmaTokenizer, LlamaTokenizer, T5Tokenizer, XLMRobertaTokenizer

CORPUS = """The quick brown fox jumps over the lazy dog near the river bank.
She sells sea shells by the sea shore, and the shells she sells are sea shells.
Der schnelle braune Fuchs springt ueber den faulen Hund.
Numbers such as 12, 345 and 6789 are split; so are e-mail addresses: me@example.com.
A journey of a thousand miles begins with a single step, as they say.
To be or not to be, that is the question: whether it is nobler to suffer.
The rain in Spain stays mainly in the plain, and the plane flies over it.
"""
TEXTS = [
    "The quick brown fox", "  two  spaces ", "", " ", "shells\tand\nlines", "caf\u00e9 na\u00efve \u00dcber", "\ufb01ne \uff21\uff22\uff23 \u2460",
    "12345 and 6789", "\U0001f600 smile", "\u65e5\u672c\u8a9e", "a</s>b", "<pad>x", "``quoted''", "UPPER Case", "x\u2581y", "<extra_id_3> here",
    "sea<mask>shore", "e\u0301clair",
]
PAIRS = [("the fox", "a dog")]

# rules of a few lines: those of nmt_nfkc take 240 kB
RULES = {"\ufb01": "fi", "\uff21": "A", "\uff22": "B", "\uff23": "C", "\u2460": "1", "\t": " ", "\n": " ", "e\u0301": "\u00e9", "\u3000": " "}

def train(out, name, rules=False, **options):
    with tempfile.TemporaryDirectory() as folder:
        if rules:
            tsv = os.path.join(folder, "rules.tsv")
            hexes = lambda text: " ".join(f"{ord(c):X}" for c in text)
            open(tsv, "w").write("".join(f"{hexes(a)}\t{hexes(b)}\n" for a, b in RULES.items()))
            options["normalization_rule_tsv"] = tsv
        else:
            options["normalization_rule_name"] = "identity"
        corpus = os.path.join(folder, "corpus.txt")
        open(corpus, "w").write(CORPUS * 4)
        prefix = os.path.join(folder, "m")
        spm.SentencePieceTrainer.train(input=corpus, model_prefix=prefix, num_threads=1, minloglevel=2, **options)
        os.makedirs(os.path.join(out, name), exist_ok=True)
        shutil.copy(prefix + ".model", os.path.join(out, name, FILES[name]))

FILES = {"t5": "spiece.model", "albert": "spiece.model", "llama": "tokenizer.model", "gemma": "tokenizer.model", "xlmr": "sentencepiece.bpe.model"}
CLASSES = {"t5": T5Tokenizer, "albert": AlbertTokenizer, "llama": LlamaTokenizer, "gemma": GemmaTokenizer, "xlmr": XLMRobertaTokenizer}

def main(out):
    rule = dict(rules=True)
    train(out, "t5", vocab_size=100, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, **rule)
    train(out, "albert", vocab_size=100, model_type="unigram", pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
          control_symbols="[CLS],[SEP],[MASK]", **rule)
    train(out, "xlmr", vocab_size=100, model_type="unigram", unk_id=0, bos_id=1, eos_id=2, **rule)
    for name, extra in [("llama", {}), ("gemma", dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, user_defined_symbols="<mask>,<start_of_turn>", remove_extra_whitespaces=False, add_dummy_prefix=False))]:
        train(out, name, vocab_size=400, model_type="bpe", byte_fallback=True, **extra)
    golden = {}
    for name, cls in CLASSES.items():
        folder = os.path.join(out, name)
        json.dump({"tokenizer_class": cls.__name__}, open(os.path.join(folder, "tokenizer_config.json"), "w"))
        tokenizer = cls.from_pretrained(folder)
        golden[name] = {
            "vocab": len(tokenizer),
            "texts": [[text, tokenizer(text)["input_ids"], tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)] for text in TEXTS],
            "pairs": [[a, b, tokenizer(a, b)["input_ids"]] for a, b in PAIRS],
        }
    json.dump(golden, open(os.path.join(out, "golden.json"), "w"), indent=0)
    print({name: g["vocab"] for name, g in golden.items()})

main(sys.argv[1])
