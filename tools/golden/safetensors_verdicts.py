"""Writes small files, sound and damaged, with the verdict of the reference parser of safetensors on each.

    /tmp/ref/bin/python tools/golden/safetensors_verdicts.py                          tests/golden/safetensors.json
    /tmp/ref/bin/python tools/golden/safetensors_verdicts.py 100000 7 /tmp/many.json  for node --import tsx tools/interop/safetensors.ts

safetensors 0.8.0; seeded. A verdict is null (refused), or the tensors with dtype, shape and bytes.
"""
import base64
import json
import random
import struct
import sys
from pathlib import Path

import safetensors

TYPES = "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64".split()
BITS = dict(BOOL=8, F4=4, F6_E2M3=6, F6_E3M2=6, U8=8, I8=8, I16=16, U16=16, F16=16, BF16=16, I32=32, U32=32, F32=32, C64=64, F64=64, I64=64, U64=64)
NAMES = ["a", "b", "x0", "w.0", "é", "😀", "", "\x7f", "__metadata__", "dtype", "toString", "__proto__", 'q"\\']
NUMBERS = ["0", "1", "2", "4", "-1", "-0", "1.0", "1.00", "1e0", "01", "9007199254740992", "9223372036854776000", "18446744073709551615",
           "18446744073709551616", "1e999", "NaN", "Infinity", "null", "true", '"1"', "[]", "{}", '{"F32":null}', '"F32"', '"\\u00463\\u0032"',
           '"\\ud800"', '"\\ud83d\\ude00"', '"\\udc00\\ud800"', "[0]", "[[0]]", "123456789012345678901234567890"]
PIECES = ['"', "{", "}", "[", "]", ",", ":", " ", "\n", "\t", "\0", "\x0b", "\ufeff", "\\", "\\u", "e", ".", "-", '"a":', '"shape":[1],', '"dtype":"U8",',
          '"data_offsets":[0,1],', '"x":1,', "[" * 130, "[" * 125 + "]" * 125, '{"a":' * 130]


def sound(r):
    fields, at = [], 0
    if r.random() < 0.5:
        fields.append('"__metadata__":' + r.choice(['{"format":"pt"}', "{}", "null", '{"a":"1","a":"2"}']))
    for name in r.sample(NAMES, r.randint(0, 3)):
        if name == "__metadata__":
            continue
        dtype = r.choice(TYPES)
        shape = [r.choice([0, 1, 1, 2, 4]) for _ in range(r.randint(0, 3))]
        count = 1
        for size in shape:
            count *= size
        end = at + count * BITS.get(dtype, 8) // 8
        parts = [f'"dtype":"{dtype}"', f'"shape":{json.dumps(shape)}', f'"data_offsets":[{at},{end}]']
        if r.random() < 0.2:
            parts.append('"x":' + r.choice(NUMBERS))
        r.shuffle(parts)
        fields.append(json.dumps(name, ensure_ascii=r.random() < 0.5) + ":{" + ",".join(parts) + "}")
        at = end
    r.shuffle(fields)
    return "{" + ",".join(fields) + "}" + " " * r.choice([0, 0, 3]), at


def damaged(r, text):
    for _ in range(r.choice([0, 1, 1, 2])):
        kind, i = r.randrange(5), r.randrange(len(text) + 1)
        j = min(len(text), i + r.randint(1, 12))
        if kind == 0:
            text = text[:i] + r.choice(PIECES) + text[i:]
        elif kind == 1:
            text = text[:i] + text[j:]
        elif kind == 2:
            text = text[:i] + text[i:j] * 2 + text[j:]
        else:  # another value in a number's, a name's or a list's place
            places = [p for p, c in enumerate(text) if c in '0123456789[]{}"']
            p = r.choice(places or [0])
            text = text[:p] + r.choice(NUMBERS) + text[p + (1 if kind == 3 else 4) :]
    return text


def file(r):
    text, size = sound(r)
    header = damaged(r, text).encode("utf-8", "surrogatepass")
    if r.random() < 0.05:
        header = header[: len(header) // 2] + bytes([r.randrange(256)]) + header[len(header) // 2 :]
    length = len(header) + (r.choice([0] * 30 + [1, -1, 2**40, 100_000_001]))
    data = bytes(range(256)) * (size // 256 + 1)
    return struct.pack("<Q", max(0, length)) + header + data[: max(0, size + r.choice([0] * 20 + [1, -1]))]


def verdict(content):
    try:
        tensors = safetensors.deserialize(content)
    except Exception:
        return None
    return {name: [t["dtype"], [str(n) for n in t["shape"]], base64.b64encode(bytes(t["data"])).decode()] for name, t in tensors}


count, seed = (int(x) for x in (sys.argv[1:3] or (400, 0)))
default = Path(__file__).resolve().parents[2] / "tests/golden/safetensors.json"
r, cases = random.Random(seed), []
while len(cases) < count:
    content = file(r)
    found = verdict(content)
    cases.append([base64.b64encode(content).decode(), found])
Path(sys.argv[3] if len(sys.argv) > 3 else default).write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
print(sum(c[1] is not None for c in cases), "of", count, "are sound")
