#!/usr/bin/env python3
"""What Python's recipes make of a few rows, for src/data/encode.golden.test.ts. transformers 5.23.0.

    /tmp/ref/bin/python tools/golden/data.py tests/kit/tokenizers        writes src/data/fixtures/golden.json

Recipes: prompt and target as shared/bench/reference_train.py; words with tags as transformers' run_ner (first token of a word);
answers as the course's question answering (only_second); chats by a template with {% generation %} marks.
"""
import json, sys
from pathlib import Path
from transformers import PreTrainedTokenizerFast

folder = Path(sys.argv[1])
def load(name, **more):
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / name / "tokenizer.json"), **more)

piece = load("wordpiece", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
bpe = load("byte-bpe", pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
unigram = load("unigram", pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
llama = load("byte-fallback", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
tweets = [("@HMRCcustomers No this is my first job", "no complaint"), ("na\u00efve caf\u00e9 \U0001f600 4,50 \u20ac", "complaint")]
golden = {"causal": [], "seq2seq": [], "pairs": [], "tags": [], "answers": [], "chats": []}

for name, tok in [("byte-bpe", bpe), ("byte-fallback", llama)]:
    for text, label in tweets:
        prompt = f"Tweet text : {text} Label : "
        start = tok(prompt)["input_ids"]; rest = tok(label, add_special_tokens=False)["input_ids"] + [tok.eos_token_id]
        golden["causal"].append({"tokenizer": name, "prompt": prompt, "target": label, "input_ids": start + rest, "labels": [-100] * len(start) + rest})
for text, label in tweets:
    golden["seq2seq"].append({"tokenizer": "unigram", "prompt": text, "target": label, "max_length": 9,
                              "input_ids": unigram(text, truncation=True, max_length=9)["input_ids"], "labels": unigram(label)["input_ids"]})
for limit in [12, 25, 64]:
    e = piece("The card never came to me.", "Where is the card that I ordered two weeks ago?", truncation=True, max_length=limit, return_token_type_ids=True)
    golden["pairs"].append({"tokenizer": "wordpiece", "text": "The card never came to me.", "pair": "Where is the card that I ordered two weeks ago?",
                            "max_length": limit, "input_ids": e["input_ids"], "token_type_ids": e["token_type_ids"]})
words = ["Hello", "@HMRCcustomers", "na\u00efve", "don't", "\U0001f600", "U.S.", "line"]; tags = [0, 1, 2, 0, 1, 2, 0]
for name, tok in [("wordpiece", piece), ("unigram", unigram)]:
    for limit in [10, 64]:
        e = tok(words, is_split_into_words=True, truncation=True, max_length=limit)
        labels, last = [], None
        for i in e.word_ids():
            labels.append(-100 if i is None or i == last else tags[i]); last = i
        golden["tags"].append({"tokenizer": name, "words": words, "tags": tags, "max_length": limit, "input_ids": e["input_ids"], "labels": labels})
context = "Na\u00efve \U0001f600 people live in two spaces. The first job was in the U.S. in 1999, they say, and not here."
for name, tok in [("wordpiece", piece), ("unigram", unigram), ("byte-bpe", bpe)]:
    for question, answer in [("Where was it?", "the U.S."), ("Who?", "people"), ("When was the job?", "1999")]:
        for limit in [1000, 90]:
            start = context.index(answer); end = start + len(answer)
            e = tok(question, context, truncation="only_second", max_length=limit, return_offsets_mapping=True)
            inside = [i for i, s in enumerate(e.sequence_ids(0)) if s == 1]; o = e["offset_mapping"]
            if o[inside[-1]][1] < end: continue
            first = max(i for i in inside if o[i][0] <= start); last = min(i for i in inside if o[i][1] >= end)
            golden["answers"].append({"tokenizer": name, "question": question, "context": context, "answer": answer, "answer_start": start, "max_length": limit,
                                      "input_ids": e["input_ids"], "start": first, "end": last})
template = ("{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>{% endgeneration %}\n"
            "{% else %}{{ m.content }}</s>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello world"}, {"role": "assistant", "content": "Hello to you \U0001f600"},
            {"role": "user", "content": "Hello to you \U0001f600"}, {"role": "assistant", "content": "  two  spaces "}]
e = bpe.apply_chat_template(messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
golden["chats"].append({"tokenizer": "byte-bpe", "template": template, "messages": messages, "input_ids": e["input_ids"],
                        "labels": [i if m else -100 for i, m in zip(e["input_ids"], e["assistant_masks"])]})
path = Path(__file__).parents[2] / "src/data/fixtures/golden.json"
path.write_text(json.dumps(golden, ensure_ascii=True) + "\n"); print(path, path.stat().st_size, {k: len(v) for k, v in golden.items()})
