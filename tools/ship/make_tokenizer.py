"""Trains the shipped tokenizer (BPE, lower case, 2048 tokens) on the pretraining text and writes it to assets/model.

Run: node --import tsx tools/ship/pretraining_text.ts --lines 100000 --seed 1 | python tools/ship/make_tokenizer.py
Needs tokenizers==0.23.3. The trainer has no randomness: the same text gives the same file.
"""

import json
import pathlib
import sys

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
VOCAB = 2048
SENTINELS = [f"<extra_id_{i}>" for i in range(20)]
SPECIAL = ["<pad>", "</s>", "<unk>", *SENTINELS]
# Letters and signs that the text may lack but users will type.
ALPHABET = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()[]{}<>-_+*/=&%#@$^~|\\`\n\téèêàâçôûîïëäöüßñáíóú€£…–—“”‘’"))


def lines():
    for line in sys.stdin:
        prompt, target, _ = line.rstrip("\n").split("\t")
        yield from (text for text in (prompt, target) if "<extra_id_" not in text)
    # The fine-tuning prompt's own words, so that they are whole tokens.
    yield from ["complaint label message"] * 50


def main():
    folder = pathlib.Path(__file__).resolve().parents[2] / "assets" / "model"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"[\s]+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True),
            pre_tokenizers.Punctuation(behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, min_frequency=2, special_tokens=SPECIAL, initial_alphabet=["▁", *ALPHABET], show_progress=False
    )
    tokenizer.train_from_iterator(lines(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "model_max_length": 512,
        "extra_special_tokens": SENTINELS,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    for name, value in [("tokenizer_config", config), ("special_tokens_map", {**special, "additional_special_tokens": SENTINELS})]:
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")
    print(tokenizer.get_vocab_size(), "tokens")


main()
