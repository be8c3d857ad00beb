#!/usr/bin/env python3
"""What Python's fast tokenizers make of awkward strings: ids, offsets (UTF-16 units), decoded text; normalizers and pre-tokenizers
alone; padding, truncation and pairs; folders without tokenizer.json; chat templates.

    /tmp/ref/bin/python tools/golden/tokenizer.py             # tests/golden/tokenizers.json and tokenizers_parts.json; transformers 5.23.0, tokenizers 0.23.3
    /tmp/ref/bin/python tools/golden/tokenizer.py --strings 3000 --out /tmp/many.json
"""
import argparse, base64, json, random, struct, tempfile
from pathlib import Path

import tokenizers, transformers
from tokenizers import Tokenizer, decoders as d, models as m, normalizers as n, pre_tokenizers as p
from transformers import AutoTokenizer

assert (transformers.__version__, tokenizers.__version__) == ("5.23.0", "0.23.3")
root = Path(__file__).resolve().parents[2]
kit = root / "tests" / "kit" / "tokenizers"
KINDS = ["byte-bpe", "unigram", "wordpiece", "byte-fallback"]

# ---------------------------------------------------------------- strings
WORDS = ["the", "Tweet", "customer's", "naïve", "don't", "I'LL", "ﬁne", "İstanbul", "ΑΣ", "ẞtraße", "日本語", "中文", "한국어", "각", "مرحبا", "हिन्दी", "ไทย",
         "x=3.14", "1234", "①②½", "e\u0301", "a\u0323\u0307", "ệ", "Å", "👩‍👩‍👧", "🇫🇷", "👍🏽", "😀", "𝔘𝔫𝔦", "𠀀", "\U0002b825", "</s>", "<pad>", "<unk>", "[SEP]", "[UNK]", "<s>",
         "<0x0A>", "▁", "▁▁a", "Ġ", "##ing", "l'été", "ÀÉ", "http://a.b/c?d=%20", "_a_", "--", "...", "—", "“q”", "¿", "`", "$9.99", "@x", "#y", "foo_bar", "ﾊﾞ", "①", "ǅ", "ß", "ſ"]
SPACES = [" ", "  ", "   ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufeff", "\u0085", "\u2028", "\u0000", "\u0007", "\ufffd", "\u00ad", "", "", ""]
RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x900, 0x97F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x3040, 0x30FF), (0x4E00, 0x4E80), (0xAC00, 0xAC80), (0xFB00, 0xFB4F), (0xFF00, 0xFFEF), (0x1F300, 0x1F64F)]


def awkward(rng):
    """A few words, spaces and random characters, in any order."""
    out = []
    for _ in range(rng.randint(1, 5)):
        kind = rng.random()
        if kind < 0.6: out.append(rng.choice(WORDS))
        elif kind < 0.8: out.append("".join(chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(1, 3))))
        else: out.append(rng.choice(SPACES) * rng.randint(1, 2))
        out.append(rng.choice(SPACES))
    return "".join(out)


def utf16(text, offsets):
    """Offsets in code points -> in UTF-16 units, flat."""
    units = [0]
    for char in text: units.append(units[-1] + (2 if ord(char) > 0xFFFF else 1))
    return [units[x] for pair in offsets for x in pair]


# ---------------------------------------------------------------- parts
def charsmap(rules):
    """A Darts double-array of a few rules, in the form of SentencePiece's precompiled_charsmap: keys are laid out one node a page."""
    blob, offsets = b"", {}
    for to in rules.values():
        if to not in offsets: offsets[to] = len(blob); blob += to.encode() + b"\0"
    units, free = {0: 0}, [256]
    trie = {}
    for key in rules:
        node = trie
        for byte in key.encode(): node = node.setdefault(byte, {})
        node[-1] = offsets[rules[key]]
    def place(node, at):
        base = free[0]; free[0] += 256                                   # children of the node at `at` lie at base ^ byte
        units[at] = units.get(at, 0) | ((at ^ base) << 10) | ((1 << 8) if -1 in node else 0)
        if -1 in node: units[base] = node[-1] | (1 << 31)
        for byte, child in node.items():
            if byte >= 0: units[base ^ byte] = byte; place(child, base ^ byte)
    place(trie, 0)
    assert max(units) < 1 << 21
    array = [units.get(i, 0) for i in range(free[0])]
    return struct.pack("<I", 4 * len(array)) + struct.pack(f"<{len(array)}I", *array) + blob


RULES = {"ﬁ": "fi", "Å": "A°", "①": "(1)", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\u0007": "", "ß": "ss", "e\u0301": "é", "ハ": "は", "İ": "i", "½": "1/2", "l'": "le "}


def normalizer_table():
    names = {"NFC": n.NFC(), "NFD": n.NFD(), "NFKC": n.NFKC(), "NFKD": n.NFKD(), "Lowercase": n.Lowercase(), "StripAccents": n.Sequence([n.NFD(), n.StripAccents()]), "Strip": n.Strip(),
             "Nmt": n.Nmt(), "bert": n.BertNormalizer(), "bert-cased": n.BertNormalizer(lowercase=False), "bert-raw": n.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=False),
             "Prepend": n.Prepend("▁▁"), "Replace": n.Replace("a", "xyz"), "ReplaceRegex": n.Replace(tokenizers.Regex(r"\s{2,}|[0-9]+"), "#"), "ByteLevel": n.ByteLevel(), "Precompiled": n.Precompiled(charsmap(RULES))}
    return names


def pre_tokenizer_table():
    llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = lambda behavior, invert=False: p.Split(tokenizers.Regex(r"\d|[aeiou]+"), behavior, invert)
    return {"ByteLevel": p.ByteLevel(add_prefix_space=False), "ByteLevelSpace": p.ByteLevel(add_prefix_space=True), "Metaspace": p.Metaspace(), "MetaspaceFirst": p.Metaspace(prepend_scheme="first", split=False),
            "Bert": p.BertPreTokenizer(), "Whitespace": p.Whitespace(), "WhitespaceSplit": p.WhitespaceSplit(), "Punctuation": p.Punctuation(), "Digits": p.Digits(True), "DigitRuns": p.Digits(False),
            "T5": p.Sequence([p.WhitespaceSplit(), p.Metaspace()]), "Llama3": p.Sequence([p.Split(tokenizers.Regex(llama3), "isolated"), p.ByteLevel(add_prefix_space=False, use_regex=False)]),
            "SmolLM": p.Sequence([p.Digits(True), p.ByteLevel(add_prefix_space=False)]), "Removed": split("removed"), "Isolated": split("isolated"), "Previous": split("merged_with_previous"),
            "Next": split("merged_with_next"), "Contiguous": split("contiguous"), "Inverted": split("removed", True)}


def parts(strings):
    """Each normalizer's characters and where they came from (every character is one unknown token); each pre-tokenizer's pieces."""
    out = {"normalizers": [], "preTokenizers": [], "decoders": []}
    for name, normalizer in normalizer_table().items():
        tok = Tokenizer(m.BPE(vocab={"?": 0}, merges=[], unk_token="?")); tok.normalizer = normalizer
        config = json.loads(tok.to_str())["normalizer"]
        rows = [[normalizer.normalize_str(s), utf16(s, tok.encode(s).offsets)] for s in strings]
        out["normalizers"].append({"name": name, "config": config, "rows": rows})
    for name, pre in pre_tokenizer_table().items():
        tok = Tokenizer(m.BPE()); tok.pre_tokenizer = pre
        rows = []
        for s in strings:
            pieces = pre.pre_tokenize_str(s)
            rows.append([[t for t, _ in pieces], utf16(s, [o for _, o in pieces])])
        out["preTokenizers"].append({"name": name, "config": json.loads(tok.to_str())["pre_tokenizer"], "rows": rows})
    tokens = [["▁a", "▁▁b", "c▁"], ["▁▁"], ["Ġa", "Ã", "©", "ðŁ", "x y", "é"], ["<0xE2>", "<0x82>", "<0xAC>", "a", "<0xE2>", "<0x82>", "<0xff>", "<0xEF>", "<0xBB>", "<0xBF>"],
              ["do", "##n", "'", "t", "##.", ".", "n't", "'s"], ["a</w>", "b", "c</w>"], ["a", "a", "<pad>", "a", "|", "b", "|"], [" a", "b ", " "], []]
    decoders = {"Metaspace": d.Metaspace(), "MetaspaceNever": d.Metaspace(prepend_scheme="never"), "ByteLevel": d.ByteLevel(), "WordPiece": d.WordPiece(), "WordPieceRaw": d.WordPiece(cleanup=False), "BPE": d.BPEDecoder(),
                "CTC": d.CTC(), "Llama": d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)]), "Strip": d.Strip(" ", 1, 1)}
    for name, decoder in decoders.items():
        tok = Tokenizer(m.BPE()); tok.decoder = decoder
        out["decoders"].append({"name": name, "config": json.loads(tok.to_str())["decoder"], "rows": [[t, decoder.decode(t)] for t in tokens if t and not (name == "Strip" and " " in t)]})
    return out


# ---------------------------------------------------------------- the four kinds
def whole(strings):
    out = {}
    for kind in KINDS:
        tok = AutoTokenizer.from_pretrained(kit / kind)
        rows = []
        for s in strings:
            x = tok(s, return_offsets_mapping=True)
            rows.append([x["input_ids"], utf16(s, x["offset_mapping"]), tok.decode(x["input_ids"], skip_special_tokens=True), tok.decode(x["input_ids"])])
        out[kind] = rows
    return out


# ---------------------------------------------------------------- options
A, B = "first, long 日本", "2nd 😀"
OPTIONS = [dict(), dict(padding=True), dict(padding="max_length", max_length=20), dict(padding=True, padding_side="left"), dict(padding=True, pad_to_multiple_of=8), dict(add_special_tokens=False),
           *[dict(truncation=t, max_length=l, truncation_side=s) for t in (True, "only_first", "only_second") for l in (6, 9, 13) for s in ("right", "left")], dict(truncation=True, max_length=9, padding="max_length"),
           dict(truncation=True, max_length=5, add_special_tokens=False)]


def options():
    rows = []
    for kind in ["wordpiece", "byte-fallback"]:
        for option in OPTIONS:
            for texts, pairs in [(A, None), ([A, B], None), (A, B), ([A, B], [B, A])]:
                if pairs is None and option.get("truncation") == "only_second": continue
                tok = AutoTokenizer.from_pretrained(kit / kind)
                if tok.pad_token is None: tok.pad_token = tok.eos_token
                call = dict(option); side = call.pop("truncation_side", None)
                if side: tok.truncation_side = side
                try: x = tok(texts, pairs, return_token_type_ids=True, return_offsets_mapping=True, **call)
                except Exception: rows.append([kind, option, texts, pairs, None]); continue
                one = isinstance(texts, str)
                wrap = lambda v: [v] if one else v
                offsets, short = [], option.get("max_length", 9) == 9              # the rest would only make the file larger
                for i, row in enumerate(wrap(x["offset_mapping"])):
                    first, second = (texts, pairs) if one else (texts[i], pairs[i] if pairs else None)
                    ids = x.sequence_ids(i)
                    offsets.append([u for pair, which in zip(row, ids) for u in ([0, 0] if which is None else utf16([first, second][which], [pair]))])
                rows.append([kind, option, texts, pairs, {"ids": wrap(x["input_ids"]), "mask": ["".join(map(str, r)) for r in wrap(x["attention_mask"])],
                             "types": ["".join(map(str, r)) for r in wrap(x["token_type_ids"])], **({"offsets": offsets} if short else {})}])
    return rows


# ---------------------------------------------------------------- folders without tokenizer.json
def legacy(strings):
    """vocab.txt and vocab.json + merges.txt, with the configurations that old repositories have."""
    piece = json.loads((kit / "wordpiece" / "tokenizer.json").read_text())["model"]
    bpe = json.loads((kit / "byte-bpe" / "tokenizer.json").read_text())["model"]
    vocab_txt = "".join(t + "\n" for t, _ in sorted(piece["vocab"].items(), key=lambda kv: kv[1]))
    merges = "#version: 0.2\n" + "".join(" ".join(x if isinstance(x, list) else x.split(" ")) + "\n" for x in bpe["merges"])
    gpt2_files = {"vocab.json": json.dumps(bpe["vocab"], ensure_ascii=False), "merges.txt": merges}
    special = dict(bos_token="</s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    cases = {
        "bert": ({"vocab.txt": vocab_txt}, {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}, {"model_type": "bert"}),
        "bert-cased": ({"vocab.txt": vocab_txt}, {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}, {"model_type": "bert"}),
        "bert-type-only": ({"vocab.txt": vocab_txt}, None, {"model_type": "bert"}),
        "gpt2": (gpt2_files, {"tokenizer_class": "GPT2Tokenizer", **special, "padding_side": "left"}, {"model_type": "gpt2"}),
        "gpt2-defaults": (gpt2_files, {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}, {"model_type": "gpt2"}),
        "opt": (gpt2_files, {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "errors": "replace", "add_prefix_space": False,
                             **{k: {"content": v, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "__type": "AddedToken"} for k, v in special.items()}}, {"model_type": "opt"}),
        "roberta": (gpt2_files, {"tokenizer_class": "RobertaTokenizer", "cls_token": "<pad>", "sep_token": "</s>", "mask_token": {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False, "__type": "AddedToken"}}, {"model_type": "roberta"}),
    }
    texts = [*strings, "a <mask> b", "x<|endoftext|>y", "[MASK] z"]
    out = {}
    for name, (files, config, model) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            for file, text in files.items(): (Path(folder) / file).write_text(text)
            if config: (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
            (Path(folder) / "config.json").write_text(json.dumps(model))
            tok = AutoTokenizer.from_pretrained(folder)
            rows = []
            for s in texts:
                x = tok(s, return_offsets_mapping=True)
                rows.append([x["input_ids"], utf16(s, x["offset_mapping"]), tok.decode(x["input_ids"], skip_special_tokens=True)])
            pair = tok("first part", "second part", return_token_type_ids=True)
            out[name] = {"config": config, "model": model, "rows": rows, "pair": [pair["input_ids"], pair["token_type_ids"]], "keys": sorted(tok("a")), "length": len(tok), "vocabSize": tok.vocab_size,
                         "special": {k: getattr(tok, k + "_token_id") for k in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")}, "paddingSide": tok.padding_side, "modelMaxLength": float(tok.model_max_length)}
    return {"texts": texts, "cases": out}


# ---------------------------------------------------------------- chats
CHATML = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
LLAMA3 = "{{- bos_token }}\n{%- set date_string = strftime_now('%d %b %Y') %}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system_message = '' %}\n{%- endif %}\n{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\n{%- if tools is not none %}\n    {{- 'Environment: ipython\\n' }}\n    {%- for t in tools %}\n        {{- t | tojson(indent=4) }}\n        {{- '\\n\\n' }}\n    {%- endfor %}\n{%- endif %}\n{{- 'Today Date: ' + date_string + '\\n\\n' }}\n{{- system_message }}\n{{- '<|eot_id|>' }}\n{%- for message in messages %}\n    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n"
ZEPHYR = "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
MARKED = "{{ bos_token }}{% for message in messages %}\n  {%- if message['role'] == 'assistant' %}\n    {{- '<a>' }}{% generation %}\n{{ message['content'] + eos_token }}{% endgeneration %}\n  {% else %}\n{{ '[' + message['role'] + '] ' + message['content'] }}\n  {%- endif %}\n{% endfor %}"
MISTRAL = "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
CHAT = [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "Hi!  What is 2 + 2?\nTell me 😀"}, {"role": "user", "content": "four"}, {"role": "assistant", "content": "Right"}]
SYSTEM = {"role": "system", "content": " Be brief. "}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds \"a\" & b", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": []}}}]


def chats():
    """Rendered text and ids; assistant masks where the template marks them. The date is taken out of the template: tests give one."""
    tok = AutoTokenizer.from_pretrained(kit / "byte-fallback")
    out = []
    for name, template in {"chatml": CHATML, "llama3": LLAMA3, "zephyr": ZEPHYR, "marked": MARKED, "mistral": MISTRAL}.items():
        fixed = template.replace("strftime_now('%d %b %Y')", "'05 Mar 2024'")
        variants = [dict(), dict(add_generation_prompt=True)] + ([dict(tools=TOOLS)] if name == "llama3" else [])
        for system in ([False, True] if name not in ("mistral",) else [False]):
            messages = ([SYSTEM] if system else []) + CHAT
            for v in variants:
                text = tok.apply_chat_template(messages, chat_template=fixed, tokenize=False, **v)
                row = {"name": name, "system": system, "options": v, "text": text, **({"ids": tok.apply_chat_template(messages, chat_template=fixed, **v)["input_ids"]} if not v else {})}
                if name == "marked" and not v: row["mask"] = tok.apply_chat_template(messages, chat_template=fixed, return_dict=True, return_assistant_tokens_mask=True, **v)["assistant_masks"]
                out.append(row)
    return {"templates": {"chatml": CHATML, "llama3": LLAMA3, "zephyr": ZEPHYR, "marked": MARKED, "mistral": MISTRAL}, "chat": CHAT, "system": SYSTEM, "rows": out}


if __name__ == "__main__":
    a = argparse.ArgumentParser(); a.add_argument("--strings", type=int, default=100); a.add_argument("--parts", type=int, default=3); a.add_argument("--seed", type=int, default=0)
    a.add_argument("--out", type=Path, default=root / "tests" / "golden" / "tokenizers.json"); a = a.parse_args()
    rng = random.Random(a.seed)
    strings = [awkward(rng) for _ in range(a.strings)]
    texts = {"strings": strings, "whole": whole(strings), "legacy": legacy(strings[:6]), "chats": chats()}
    rest = {"strings": strings[: a.parts], "parts": parts(strings[: a.parts]), "options": options()}
    for path, value in [(a.out, texts), (a.out.with_name(a.out.stem + "_parts.json"), rest)]:
        path.parent.mkdir(parents=True, exist_ok=True); path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
        print(path, path.stat().st_size, "bytes")
