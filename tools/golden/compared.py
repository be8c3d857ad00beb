"""Writes tests/golden/compared.json: which methods on which `model_type`s kits of numbers from Python compare.

    python3 tools/golden/compared.py /work/shared/conformance /work/shared/conformance-more /work/shared/media
"""
import json
import sys
from pathlib import Path

compared = {}
for kit in map(Path, sys.argv[1:]):
    for file in sorted(kit.glob("cases/*/case.json")):
        case = json.loads(file.read_text())
        model = json.loads((kit / case["model"] / "config.json").read_text())["model_type"]
        compared.setdefault(model, set()).add(case["method"])
out = Path(__file__).resolve().parents[2] / "tests/golden/compared.json"
lines = [f"{json.dumps(model)}:{json.dumps(sorted(compared[model]), separators=(',', ':'))}" for model in sorted(compared)]
out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
