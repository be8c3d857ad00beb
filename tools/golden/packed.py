"""Writes tests/golden/packed/: layers as quantized checkpoints store them, with the numbers that their own libraries make of them.

    python tools/golden/packed.py        (torch 2.13.0, transformers 5.23.0, bitsandbytes 0.50.2, compressed-tensors 0.20.0)

layers.safetensors: NAME.<tensors of the checkpoint>, NAME.expected in f32. GPTQ's and AWQ's libraries need a GPU: their layers are packed
here from drawn codes, by the rules in their sources, and their numbers are (code - zero) scale.
llama-nf4, llama-int8: the kit's Llama as transformers saves it with BitsAndBytesConfig; expect.json has logits.
"""
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant, int8_vectorwise_quant, quantize_4bit
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

root = Path(__file__).resolve().parents[2]
out = root / "tests/golden/packed"
out.mkdir(exist_ok=True)
torch.manual_seed(0)
torch.set_num_threads(1)
tensors = {}


def add(name, parts, expected):
    for ending, tensor in parts.items():
        tensors[f"{name}.{ending}"] = tensor.clone().contiguous()
    tensors[f"{name}.expected"] = expected.float().contiguous()


for name, shape, kind, double, size in [("nf4-double", (40, 440), "nf4", True, 64), ("nf4", (16, 64), "nf4", False, 64),
                                        ("nf4-128", (16, 64), "nf4", True, 128), ("fp4", (16, 64), "fp4", True, 64), ("nf4-odd", (3, 37), "nf4", True, 64)]:
    data, state = quantize_4bit(torch.randn(shape), blocksize=size, compress_statistics=double, quant_type=kind)
    parts = {"weight": data} | {f"weight.{k}": v for k, v in state.as_dict(packed=True).items()}
    add(name, parts, dequantize_4bit(data, state))

codes, scb, _ = int8_vectorwise_quant(torch.randn(16, 48, dtype=torch.float16))
add("int8-bnb", {"weight": codes, "SCB": scb, "weight_format": torch.tensor(0, dtype=torch.uint8)}, int8_vectorwise_dequant(codes, scb))

w = torch.randn(132, 136)
f8 = w.to(torch.float8_e4m3fn)
blocks = torch.rand(2, 2) + 0.5
spread = blocks.repeat_interleave(128, 0).repeat_interleave(128, 1)[:132, :136]
add("fp8-blocks", {"weight": f8, "weight_scale_inv": blocks}, f8.float() * spread)
small = torch.randn(12, 20).to(torch.float8_e4m3fn)
add("fp8-tensor", {"weight": small, "weight_scale": torch.tensor(0.25), "input_scale": torch.tensor(1.0)}, small.float() * 0.25)
row = (torch.rand(12, 1) + 0.5).bfloat16()
add("fp8-rows", {"weight": small, "weight_scale": row}, small.float() * row.float())
e5 = torch.randn(12, 20).to(torch.float8_e5m2)
e8 = torch.tensor([[120, 130]], dtype=torch.uint8).view(torch.float8_e8m0fnu)
add("fp8-e5m2", {"weight": e5, "weight_scale": e8}, e5.float() * e8.float().repeat_interleave(10, 1))
i8 = torch.randint(-128, 128, (12, 64), dtype=torch.int8)
add("int8-rows", {"weight": i8, "weight_scale": row}, i8.float() * row.float())
groups, zero = torch.rand(12, 4) + 0.5, torch.randint(-9, 9, (12, 4), dtype=torch.int8)
add("int8-groups", {"weight": i8, "weight_scale": groups, "weight_zero_point": zero},
    (i8.float() - zero.float().repeat_interleave(16, 1)) * groups.repeat_interleave(16, 1))

for bits in (4, 8):
    q = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (16, 36), dtype=torch.int8)
    scale = torch.rand(16, 3).half()
    parts = {"weight_packed": pack_to_int32(q, bits), "weight_scale": scale, "weight_shape": torch.tensor([16, 36])}
    add(f"packed-int{bits}", parts, q.float() * scale.float().repeat_interleave(12, 1))
zero = torch.randint(-8, 8, (16, 3), dtype=torch.int8)
q = torch.randint(-8, 8, (16, 36), dtype=torch.int8)
parts = {"weight_packed": pack_to_int32(q, 4), "weight_scale": scale, "weight_shape": torch.tensor([16, 36]), "weight_zero_point": pack_to_int32(zero, 4, packed_dim=0).contiguous()}
add("packed-zeros", parts, (q.float() - zero.float().repeat_interleave(12, 1)) * scale.float().repeat_interleave(12, 1))
index = torch.tensor([2, 0, 1] * 12, dtype=torch.int32)
parts = {"weight_packed": pack_to_int32(q, 4), "weight_scale": scale, "weight_shape": torch.tensor([16, 36]), "weight_g_idx": index}
add("packed-order", parts, q.float() * scale.float()[:, index.long()])


def words(values, bits, axis, order=None):
    """[.., n] integers -> 32-bit words along an axis; order: which value of a word goes to its k-th place from below."""
    each = 32 // bits
    v = np.moveaxis(values.numpy().astype(np.uint32), axis, -1)
    v = v.reshape(*v.shape[:-1], -1, each)
    word = np.zeros(v.shape[:-1], dtype=np.uint32)
    for k in range(each):
        word |= v[..., (order or range(each))[k]] << np.uint32(bits * k)
    return torch.from_numpy(np.moveaxis(word, -1, axis).astype(np.int32).copy())


for name, bits, more, shuffled in [("gptq", 4, 1, False), ("gptq-order", 4, 1, True), ("gptq-8", 8, 1, False), ("gptq-2", 2, 1, False), ("v2.gptq", 4, 0, False)]:
    q = torch.randint(0, 2**bits, (64, 32))  # [in, out]
    z = torch.randint(0, 2**bits - 1, (4, 32))
    scale = torch.rand(4, 32).half()
    index = torch.arange(64) // 16
    if shuffled:
        index = index[torch.randperm(64)]
    parts = {"qweight": words(q, bits, 0), "qzeros": words(z, bits, 1), "scales": scale}
    if name != "gptq-2":
        parts["g_idx"] = index.int()
    add(name, parts, ((q - (z[index] + more)).float() * scale.float()[index]).T)
q, z, scale = torch.randint(0, 16, (64, 32)), torch.randint(0, 16, (4, 32)), torch.rand(4, 32).half()
index, order = torch.arange(64) // 16, [0, 2, 4, 6, 1, 3, 5, 7]
add("awq", {"qweight": words(q, 4, 1, order), "qzeros": words(z, 4, 1, order), "scales": scale}, ((q - z[index]).float() * scale.float()[index]).T)
save_file(tensors, out / "layers.safetensors")

ids = torch.tensor([[5, 17, 33, 8, 61, 90, 2, 44], [7, 9, 11, 13, 15, 17, 19, 21]])
kit = root / "tests/kit/models/llama"
four = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32)
for name, config in [("llama-nf4", BitsAndBytesConfig(**four)), ("llama-int8", BitsAndBytesConfig(load_in_8bit=True))]:
    model = AutoModelForCausalLM.from_pretrained(kit, dtype=torch.float32, quantization_config=config, device_map="cpu")
    folder = out / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    with torch.no_grad():
        logits = model(ids).logits
    (folder / "expect.json").write_text(json.dumps(dict(ids=ids.tolist(), sum=logits.abs().sum().item(), last=logits[:, -1].flatten().tolist())) + "\n")
