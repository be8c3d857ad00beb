"""Writes tests/golden/positions.json: T5's buckets, DeBERTa's distances and rotary frequencies as torch computes them.

    /tmp/ref/bin/python tools/golden/positions.py        (torch 2.13.0, transformers 5.23.0)
"""
import json
from pathlib import Path

import torch
from transformers import LlamaConfig
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.t5.modeling_t5 import T5Attention

torch.set_num_threads(1)
buckets = {}
for count, far in [(32, 128), (8, 16), (32, 256), (12, 100)]:
    for both in (True, False):
        distance = torch.arange(-far, far + 1)[None]
        found = T5Attention._relative_position_bucket(distance, both, count, far)[0]
        buckets[f"{count} {far} {'both' if both else 'past'}"] = found.tolist()

distances = {}
for span, farthest in [(256, 512), (8, 64), (32, 128), (7, 40)]:
    found = make_log_bucket_position(torch.arange(-farthest, farthest + 1), span, farthest).long()
    distances[f"{span} {farthest}"] = (found + span).clamp(0, 2 * span - 1).tolist()

sizes = dict(hidden_size=32, num_attention_heads=4, num_key_value_heads=2)
llama3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)
frequencies = []
for head_dim, rope in [
    (64, dict(rope_type="default", rope_theta=10000.0)),
    (8, dict(rope_type="default", rope_theta=1234.0)),
    (16, dict(rope_type="linear", rope_theta=10000.0, factor=3.0)),
    (128, dict(rope_theta=500000.0, original_max_position_embeddings=8192, **llama3)),
    (16, dict(rope_theta=10000.0, original_max_position_embeddings=64, **llama3)),
]:
    config = LlamaConfig(head_dim=head_dim, rope_parameters=dict(rope), **sizes)
    expected = LlamaRotaryEmbedding(config).inv_freq.tolist()
    frequencies.append(dict(config=dict(head_dim=head_dim, rope_parameters=rope), expected=expected))

out = Path(__file__).resolve().parents[2] / "tests/golden/positions.json"
out.write_text(json.dumps(dict(buckets=buckets, distances=distances, frequencies=frequencies)) + "\n")
