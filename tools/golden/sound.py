"""Features of a short sound by transformers' extractors; its resampling by torchaudio's formula, written out.
/tmp/ref/bin/python tools/golden/sound.py > tests/golden/sound.json   (torch 2.13, transformers 5.23)"""
import json

import numpy as np
import transformers as T

x = np.array([0.5 * np.sin(i * i / 900) + 0.2 * np.cos(i / 3) for i in range(1600)], np.float32)
base = dict(sampling_rate=16000, padding_side="right", padding_value=0.0)
CONFIGS = {
    "whisper": dict(base, feature_extractor_type="WhisperFeatureExtractor", chunk_length=1, feature_size=8, hop_length=160, n_fft=400),
    "whisper-odd": dict(base, feature_extractor_type="WhisperFeatureExtractor", chunk_length=1, feature_size=6, hop_length=250, n_fft=210),
    "wav2vec2": dict(base, feature_extractor_type="Wav2Vec2FeatureExtractor", feature_size=1, do_normalize=True, return_attention_mask=True),
    "ast": dict(base, feature_extractor_type="ASTFeatureExtractor", feature_size=1, num_mel_bins=6, max_length=10, do_normalize=True, mean=-3.0, std=2.0),
    "seamless": dict(base, feature_extractor_type="SeamlessM4TFeatureExtractor", feature_size=6, num_mel_bins=6, stride=2),
}
found = {}
for name, config in CONFIGS.items():
    extractor = getattr(T, config["feature_extractor_type"])(**{k: v for k, v in config.items() if k != "feature_extractor_type"})
    out = extractor([x], sampling_rate=16000, return_tensors="pt")
    values = out["input_features"] if "input_features" in out else out["input_values"]
    flat = values.flatten()
    step = max(1, flat.numel() // 40)
    found[name] = dict(config=config, shape=list(values.shape), step=step, values=[round(float(v), 7) for v in flat[::step]])
a, b, base = 441, 160, 160 * 0.99
n, i = np.arange(-(-len(x) * b // a))[:, None], np.arange(len(x))[None]
t = np.clip((i / a - n / b) * base, -6, 6)
resampled = (x[None] * np.sinc(t) * np.cos(np.pi * t / 12) ** 2 * base / a).sum(1)
found["resampled"] = dict(length=len(resampled), values=[round(float(v), 7) for v in resampled[::20]])
print(json.dumps(found, indent=1))
