#!/usr/bin/env python3
"""Small Parquet files for src/data: every compression in use, nested lists, class names as Hugging Face's datasets leaves them.

    python3 -m venv /tmp/parquet-venv && /tmp/parquet-venv/bin/pip install pyarrow==26.0.1
    /tmp/parquet-venv/bin/python tools/golden/data_parquet.py
"""
import json
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq

out = Path(__file__).parents[2] / "src/data/fixtures"; out.mkdir(exist_ok=True)
texts = ["The card never came.", "Thanks, all fine \u263a", "Where is it? 4,50 \u20ac", None]
features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["fine", "complaint"], "_type": "ClassLabel"},
            "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
            "ner_tags": {"feature": {"names": ["O", "B-THING"], "_type": "ClassLabel"}, "_type": "Sequence"}}
schema = pa.schema([("text", pa.string()), ("label", pa.int64()), ("tokens", pa.list_(pa.string())), ("ner_tags", pa.list_(pa.int64()))],
                   metadata={"huggingface": json.dumps({"info": {"features": features}})})
rows = {"text": texts, "label": [1, 0, 1, 0], "tokens": [["The", "card"], ["Thanks"], ["Where", "is", "it"], ["x"]], "ner_tags": [[0, 1], [0], [0, 0, 0], [0]]}
for codec in ["snappy", "zstd", "gzip", "brotli", "lz4", "none"]:
    pq.write_table(pa.table(rows, schema=schema), out / f"{codec}.parquet", compression=codec)

numbers = pa.schema([("prompt", pa.int64()), ("completion", pa.float64()), ("scores", pa.list_(pa.float32()))])
pq.write_table(pa.table({"prompt": [2**63 - 1, 7], "completion": [1.0, 2.5], "scores": [[1.0, 0.5], []]}, schema=numbers), out / "numbers.parquet", compression="none")

# Pages of both versions: nulls, a column of nulls alone, nested lists, dictionaries, several pages and row groups.
pages = pa.table({"text": [None if k % 7 == 0 else "row %d" % (k % 50) for k in range(400)], "empty": [None] * 400, "flag": [k % 3 == 0 for k in range(400)],
                  "deep": [[[{"q": str(j)} for j in range(k % 3)]] * (k % 2) for k in range(400)]})
for version in ("1.0", "2.0"):
    pq.write_table(pages, out / f"pages-{version[0]}.parquet", data_page_version=version, compression="lz4", data_page_size=200, row_group_size=150)
(out / "pages.json").write_text(json.dumps(pages.to_pylist(), separators=(",", ":")))

# A page whose definition levels are one run of 2^31 - 1, where it has 1000 values: the run's length is written over the first values.
pq.write_table(pa.table({"label": pa.array([1] * 1000, pa.int32())}), out / "run.parquet", compression="none", use_dictionary=False, write_statistics=False, store_schema=False)
run = bytearray((out / "run.parquet").read_bytes()); at = run.index(bytes([3, 0, 0, 0, 0xD0, 0x0F, 1]))
run[at:at + 10] = bytes([6, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 1])
(out / "run.parquet").write_bytes(run)

# The same rows as Arrow: a stream, as the cache of `datasets` is, in batches of three, and a file with a dictionary; numbers with structs.
table = pa.table(rows, schema=schema)
with pa.ipc.new_stream(out / "stream.arrow", schema) as writer:
    writer.write_table(table, max_chunksize=3)
with pa.ipc.new_file(out / "file.arrow", schema) as writer:
    writer.write_table(table, max_chunksize=3)
kinds = pa.table({"text": texts, "label": pa.array(["x", "y", "x", "y"]).dictionary_encode()})
with pa.ipc.new_file(out / "dictionary.arrow", kinds.schema) as writer:
    writer.write_table(kinds)
nested = pa.table({"prompt": [2**63 - 1, 7], "completion": [1.0, 2.5], "scores": pa.array([[1.0, 0.5], []], pa.list_(pa.float32())),
                   "turn": [{"role": "user", "weight": 1.0}, {"role": "ai", "weight": 0.25}], "when": pa.array([0, 1], pa.timestamp("s"))})
with pa.ipc.new_stream(out / "numbers.arrow", nested.schema) as writer:
    writer.write_table(nested)
with pa.ipc.new_file(out / "compressed.arrow", schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
    writer.write_table(table)

# Lines packed by pyarrow: two members of gzip one after another, frames of Zstandard.
lines = [b'{"text": "%d", "label": "%s"}\n' % (i, b"ab"[i % 2:i % 2 + 1]) for i in range(2000)]
gzip, zstd = pa.Codec("gzip"), pa.Codec("zstd", 19)
packed = lambda codec, part: codec.compress(b"".join(part), asbytes=True)
(out / "lines.jsonl.gz").write_bytes(packed(gzip, lines[:900]) + packed(gzip, lines[900:]))
(out / "lines.jsonl.zst").write_bytes(packed(zstd, lines[:900]) + packed(zstd, lines[900:]))
