"""Writes src/hub/fixtures/: small files as Python's safetensors 0.8.0 and torch 2.13.0 write them, and files to refuse.

Run: /tmp/ref/bin/python tools/golden/hub_formats.py   (deterministic; seed 0)
"""
import collections, io, json, os, pathlib, pickle, struct
import torch
from safetensors.torch import save_file

out = pathlib.Path(__file__).parents[2] / "src" / "hub" / "fixtures"
out.mkdir(exist_ok=True)
torch.manual_seed(0)

# every dtype; names that sort differently by code point and by UTF-16 unit, that need escapes, a scalar, an empty one
values = torch.tensor([-1.5, 0.0, 2.25, 100.0])
every = {}
for i, d in enumerate(["bool", "uint8", "int8", "int16", "float16", "bfloat16", "int32", "float32", "float64", "int64"]):
    dtype = getattr(torch, d)
    every[f"{i}_{d}"] = (values.abs() if d in ("bool", "uint8") else values).to(dtype)
every["scalar"] = torch.tensor(1.5)
every["é𐀀"] = torch.ones(1)
every["é\uffee"] = torch.zeros(1)
every['q"\\\x01\x7f'] = torch.zeros(1)
every["empty"] = torch.zeros(0, 4)
save_file(every, out / "every_dtype.safetensors", metadata={"format": "pt"})

# pickles: a module's state_dict (OrderedDict with _metadata), a parameter, a transposed view, two views of one storage
base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
state = torch.nn.Linear(3, 2).state_dict()
state["weight"] = torch.arange(6, dtype=torch.float32).reshape(2, 3)
state["bias"] = torch.tensor([0.5, -0.5])
state["parameter"] = torch.nn.Parameter(torch.tensor([3.0]))
state["transposed"] = base.t()
state["whole"] = base
state["row"] = base[1]
state["column"] = base[:, 2]
state["half"] = torch.tensor([1.5, -2.0], dtype=torch.float16)
state["brain"] = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
state["count"] = torch.tensor(7)
state["mask"] = torch.tensor([True, False])
torch.save(state, out / "state.bin")
torch.save(state, out / "state_legacy.bin", _use_new_zipfile_serialization=False)

# float conversions: every interesting half and bfloat16, and f32 rounded to both
bits = torch.arange(0, 65536, 7, dtype=torch.int32).to(torch.uint16)
half, brain = bits.view(torch.float16), bits.view(torch.bfloat16)
numbers = torch.cat([torch.randn(400) * 10.0 ** torch.randint(-9, 6, (400,)), torch.tensor([65504.0, 65519.9, 65520.0, 2.0**-24, 2.0**-25, 1.5 * 2.0**-25, 6.1e-5, 3.3e38, 0.0, -0.0, float("inf"), float("-inf")])])
save_file({"bits.f16": half, "bits.bf16": brain.clone(), "f32.f16": half.float(), "f32.bf16": brain.float(),
           "numbers": numbers, "numbers.f16": numbers.half(), "numbers.bf16": numbers.bfloat16()}, out / "conversions.safetensors")

# the 256 bytes of each float of 8 bits, and whole numbers without a sign
eights = {}
for d in ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz"]:
    of8 = torch.arange(256, dtype=torch.uint8).view(getattr(torch, d))
    eights[d], eights[f"{d}.f32"] = of8.clone(), of8.float()
save_file(eights, out / "float8.safetensors", metadata={"format": "pt"})
save_file({f"u{n}": torch.tensor([0, 1, 2 ** (n - 1) + 2 ** (n - 8)], dtype=torch.uint64).to(getattr(torch, f"uint{n}")) for n in (16, 32, 64)}
          | {"c64": torch.tensor([1 + 2j])}, out / "unsigned.safetensors", metadata={"format": "pt"})

# json: text of Python's json.dumps
data = {"r": 8, "lora_dropout": 0.0, "eps": 6e-05, "tiny": 1e-06, "big": 1e16, "big_int": 10**17, "almost": 123456.789, "third": 1 / 3, "neg": -0.0,
        "inf": float("inf"), "betas": [1.0, 0.999], "none": None, "yes": True, "text": "é \u2028 \x7f \"q\" \\ \n 𐀀", "empty": {}, "no": [],
        "nested": {"b": [1, 2], "a": {"z": 0.5}}, "é": 1, "\uffee": 2, "𐀀": 3}
(out / "python.json").write_text(json.dumps(data, indent=2, sort_keys=True))

# files to refuse
class Evil:
    def __reduce__(self): return os.system, ("touch /tmp/peft-js-evil",)
class Call:
    def __init__(self, function, args): self.parts = (function, args)
    def __reduce__(self): return self.parts
def rebuild(size, stride, offset=0): return Call(torch._utils._rebuild_tensor_v2, (torch.zeros(4)._typed_storage(), offset, size, stride, False, collections.OrderedDict()))
torch.save({"a": Evil()}, out / "refused_evil.bin")
torch.save({"a": Evil()}, out / "refused_evil_legacy.bin", _use_new_zipfile_serialization=False)
torch.save({"a": rebuild((1000, 1000), (1000, 1))}, out / "refused_beyond.bin")
torch.save({"a": rebuild((4,), (1,), 1)}, out / "refused_offset.bin")
torch.save({"a": rebuild((100, 100), (0, 0))}, out / "refused_repeats.bin")
torch.save({"a": rebuild((4,), (-1,), 3)}, out / "refused_negative.bin")
torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, out / "complex.bin")
torch.save(torch.nn.Linear(2, 2), out / "refused_module.bin")
torch.save([1, 2], out / "refused_list.bin")
doubled = [4]
for _ in range(50):
    doubled = [doubled, doubled]
torch.save({"a": rebuild((doubled,), (1,))}, out / "refused_dag.bin")
(out / "refused_plain_pickle.bin").write_bytes(pickle.dumps({"a": 1}, protocol=2))
whole = (out / "state.bin").read_bytes(); (out / "refused_cut_zip.bin").write_bytes(whole[:-100])
whole = (out / "state_legacy.bin").read_bytes(); (out / "refused_cut_legacy.bin").write_bytes(whole[:-20]); (out / "refused_cut_pickle.bin").write_bytes(whole[:300])
