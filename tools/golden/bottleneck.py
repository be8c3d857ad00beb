"""The configs of the library "adapters" by name, as its adapter_config.json has them: tests/golden/bottleneck.json.

    python3 -m venv bn && bn/bin/pip install torch==2.13.0 && bn/bin/pip install --no-deps adapters==1.3.0 transformers==4.57.6 huggingface_hub==0.36.0 tokenizers==0.22.1
    bn/bin/python -P tools/golden/bottleneck.py    (-P: the adapters.py beside it is another)
"""
import json
from pathlib import Path

import adapters

NAMES = ["seq_bn", "double_seq_bn", "par_bn", "scaled_par_bn", "seq_bn_inv", "double_seq_bn_inv", "compacter", "compacter++"]
configs = {name: adapters.AdapterConfig.load(name) for name in NAMES}
configs["adapter_plus"] = adapters.AdapterPlusConfig()
out = {name: json.dumps(config.to_dict(), indent=2, sort_keys=True) for name, config in configs.items()}
Path("tests/golden/bottleneck.json").write_text(json.dumps(out, indent=1, sort_keys=True) + "\n")
