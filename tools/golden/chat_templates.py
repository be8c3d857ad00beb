"""Chats written by the templates of public model families, as transformers renders them.

  pip download --no-deps trl==1.16.0 axolotl==0.19.0   (both Apache-2.0; unpack the wheels into FOLDER)
  HF_HUB_OFFLINE=1 python tools/golden/chat_templates.py FOLDER [ALL.json]   (transformers 5.23, jinja2 3.1.6)
Writes tests/golden/chat_templates.json.gz: the templates of models whose own licence is Apache-2.0 or MIT, the
chats, and of each text its SHA-256 and the spans that the assistant writes. With ALL.json, the texts of all
templates, for a comparison that stays outside the repository.
"""

import datetime
import gzip
import hashlib
import json
import sys
from pathlib import Path

import jinja2
import transformers
from transformers.utils import chat_template_utils as utils

# Templates of models under Apache-2.0 or MIT, by file.
KEPT = {
    "trl": "deepseek_r1_distill deepseek_r1_distill_training deepseekv3 deepseekv3_training glm4moe glm4moe_training gptoss "
    "gptoss_training idefics3_training phi3 phi3_5_training qwen2_5 qwen2_5_training qwen2_5_vl qwen3 qwen3_training "
    "qwen3_5_think qwen3_instruct_2507 qwen3_vl_training smolvlm smolvlm_training gemma4_v5",
    "axolotl": "alpaca chatml deepseek_v2 jamba mistral_v1 mistral_v2v3 mistral_v3_tekken mistral_v7_tekken phi_35 phi_4 "
    "pixtral qwen2_vl qwen_25 qwen3_5",
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city, \"now\" & <later>.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "It's name"}, "days": {"type": "integer", "enum": [1, 2]}, "parts": {"type": "array", "items": {"type": ["string", "null"]}}},
                "required": ["city"],
            },
            "return": {"type": "string", "description": "A text"},
        },
    },
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}},
]
USER = {"role": "user", "content": "Hi, what's \"new\"? é 😀\n\n  "}
SYSTEM = {"role": "system", "content": "  Be kind.\nAnd brief. "}
ANSWER = {"role": "assistant", "content": "\n Nothing <b>new</b>. "}


def call(arguments):
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "call_a12", "type": "function", "function": {"name": "weather", "arguments": arguments}}]}


RESULT = {"role": "tool", "content": "{\"sun\": true, \"t\": 21.0}", "name": "weather", "tool_call_id": "call_a12"}
ARGUMENTS = {"city": "Zürich", "days": 2, "parts": ["a", None, True], "t": 1.5}
CHATS = [
    ("one turn", [USER], {"prompt": True}),
    ("system", [SYSTEM, USER], {"prompt": True}),
    ("several turns", [SYSTEM, USER, ANSWER, USER, ANSWER], {}),
    ("several turns, prompt", [USER, ANSWER, USER], {"prompt": True}),
    ("two users", [USER, USER], {"prompt": True}),
    ("assistant first", [ANSWER, USER], {"prompt": True}),
    ("null content", [USER, {"role": "assistant", "content": None}, USER], {}),
    ("tools", [SYSTEM, USER], {"prompt": True, "tools": TOOLS}),
    ("tool calls", [SYSTEM, USER, call(ARGUMENTS), RESULT, ANSWER, USER], {"prompt": True, "tools": TOOLS}),
    ("tool calls, arguments as text", [USER, call(json.dumps(ARGUMENTS)), RESULT], {"prompt": True, "tools": TOOLS}),
    ("two tool calls", [USER, {**call(ARGUMENTS), "tool_calls": call(ARGUMENTS)["tool_calls"] * 2}, RESULT, RESULT, ANSWER], {"tools": TOOLS}),
    ("no arguments, no id", [USER, {"role": "assistant", "content": "Let me see.", "tool_calls": [{"type": "function", "function": {"name": "now", "arguments": {}}}]}, RESULT], {"prompt": True}),
    ("content parts", [{"role": "system", "content": [{"type": "text", "text": "Be kind."}]}, {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}, {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]}], {"prompt": True}),
    ("reasoning", [USER, {"role": "assistant", "content": "Yes.", "reasoning_content": "Is it?\nIt is."}, USER, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nNo."}], {"prompt": False}),
    ("thinking off", [USER, ANSWER, USER], {"prompt": True, "variables": {"enable_thinking": False}}),
    ("thinking on", [SYSTEM, USER], {"prompt": True, "variables": {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}}),
    ("documents", [USER], {"prompt": True, "documents": [{"title": "T", "text": "Text."}]}),
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 3, 5, 14, 7, 9)


def units(text, at):
    return len(text[:at].encode("utf-16-le")) // 2


def rendered(template, messages, options):
    try:
        mask = "{% generation" in template or "{%- generation" in template
        texts, spans = utils.render_jinja_template(
            [messages], options.get("tools"), options.get("documents"), template, mask,
            add_generation_prompt=options.get("prompt", False), **TOKENS, **options.get("variables", {}),
        )
        return texts[0], [[units(texts[0], a), units(texts[0], b)] for a, b in (spans[0] if mask else [])]
    except Exception:
        return None, []


def main():
    utils.datetime = Clock
    folder = Path(sys.argv[1])
    files = {"trl": folder / "trl/trl/chat_templates", "axolotl": folder / "axolotl/axolotl/utils/chat_templates/templates"}
    kept, everything = {}, {}
    for package, path in files.items():
        for file in sorted(path.glob("*.jinja")):
            template = file.read_bytes().decode()
            rows = [rendered(template, messages, options) for _, messages, options in CHATS]
            name = f"{package}/{file.stem}"
            everything[name] = {"template": template, "rows": rows}
            if file.stem in KEPT[package].split():
                hashes = [None if text is None else [hashlib.sha256(text.encode()).hexdigest()[:16], spans] for text, spans in rows]
                kept[name] = {"template": template, "rows": hashes}
    source = f"trl 1.16.0 and axolotl 0.19.0, Apache-2.0; transformers {transformers.__version__}, jinja2 {jinja2.__version__}"
    common = {"made_with": source, "tokens": TOKENS, "chats": CHATS}
    out = json.dumps({**common, "templates": kept}, ensure_ascii=False).encode()
    path = Path(__file__).parents[2] / "tests/golden/chat_templates.json.gz"
    path.write_bytes(gzip.compress(out, 9, mtime=0))
    print(len(kept), "of", len(everything), "templates,", path.stat().st_size, "bytes")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(json.dumps({**common, "templates": everything}))


main()
