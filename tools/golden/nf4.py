"""Writes tests/golden/nf4.json: what bitsandbytes' CPU build makes of matrices in NF4 with double quantization, and back.

    /tmp/ref/bin/python tools/golden/nf4.py        (torch 2.13.0, bitsandbytes 0.50.2)

Weights are not stored: both sides compute them, exactly, from the integers of a linear congruential generator. Results are: bytes as
base64, f32 as the base64 of their bits. One thread: torch's sums of many numbers depend on how many there are. Rows whose length is a
multiple of 32 but not of 64 are left out: bitsandbytes 0.50.2 brings them back wrongly with AVX-512 (it counts blocks by the row).
"""
import base64
import json
from pathlib import Path

import numpy as np
import torch
from bitsandbytes.functional import create_dynamic_map, dequantize_4bit, get_4bit_type, quantize_4bit

torch.set_num_threads(1)
SHAPES = {
    "small": (4, 64),
    "one byte": (1, 2),
    "odd": (3, 37),
    "ragged": (24, 200),
    "few blocks": (5, 77),
    "many blocks": (52, 325),
    "outliers": (16, 128),
    "zeros": (8, 128),
}


def integers(seed, count):
    """Integers in [0, 65536): the high bits of x -> 1664525 x + 1013904223 mod 2^32."""
    found = []
    for _ in range(count):
        seed = (1664525 * seed + 1013904223) % 2**32
        found.append(seed >> 16)
    return np.array(found, dtype=np.float64)


def weights(name, seed, shape):
    """Sums of two uniform numbers, about 0.05; some 100 times larger, or rows and all of a part zero."""
    count = shape[0] * shape[1]
    x = integers(seed, 2 * count)
    w = (x[:count] + x[count:] - 65535) / 2**20
    if name == "outliers":
        w[::97] *= 100
    if name == "zeros":
        w[: count // 2] = 0
    return torch.from_numpy(w.astype(np.float32)).reshape(shape)


def bits(tensor):
    return base64.b64encode(tensor.contiguous().numpy().tobytes()).decode()


cases = []
for seed, (name, shape) in enumerate(SHAPES.items(), 1):
    data, state = quantize_4bit(weights(name, seed, shape), compress_statistics=True, quant_type="nf4")
    assert state.blocksize == 64 and state.state2.blocksize == 256
    cases.append(
        dict(
            name=name,
            seed=seed,
            shape=shape,
            data=bits(data),
            absmax=bits(state.absmax),
            nested=bits(state.state2.absmax),
            offset=bits(state.offset.reshape(1)),
            values=bits(dequantize_4bit(data, state)),
        )
    )

codes = dict(nf4=bits(get_4bit_type("nf4", device="cpu")), dynamic=bits(create_dynamic_map()))
out = Path(__file__).resolve().parents[2] / "tests/golden/nf4.json"
out.write_text(json.dumps(dict(codes=codes, cases=cases), indent=1) + "\n")
