"""adapter_config.json of every method as Python's PEFT writes it where nothing is given: names, defaults, floats.

Run: /tmp/ref/bin/python tools/golden/method_configs.py tests/golden/method_configs.json   (peft 0.21.2)
"""
import json
import sys
import tempfile
from pathlib import Path

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

# without these there is no config
NEEDED = {"ADALORA": {"total_step": 100}, "CPT": {"task_type": "CAUSAL_LM"}}

texts = {}
for peft_type, config in PEFT_TYPE_TO_CONFIG_MAPPING.items():
    with tempfile.TemporaryDirectory() as folder:
        config(**NEEDED.get(peft_type.value, {})).save_pretrained(folder)
        texts[peft_type.value] = Path(folder, "adapter_config.json").read_text()
Path(sys.argv[1]).write_text(json.dumps(texts, indent=1, sort_keys=True) + "\n")
