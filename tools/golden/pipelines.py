"""Golden numbers for tests/contracts/pipelines.golden.test.ts: transformers' pipelines and sentence-transformers on the kit's small models.

Run, one after the other, each in an environment of its own:
/tmp/ref/bin/python tools/golden/pipelines.py tests/golden/pipelines.json   (torch 2.13.0, transformers 5.23.0): labels, entities
t4/bin/python tools/golden/pipelines.py tests/golden/pipelines.json   (torch 2.13.0, transformers 4.57.1, which has question answering
still, sentence-transformers 5.1.2): answers, vectors
The tokenizers are made here, small enough for the models' 96 tokens.
"""
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, pipeline

warnings.simplefilter("ignore")
torch.set_num_threads(1)
KIT = Path(__file__).parent.parent.parent / "tests/kit/models"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["the", "in", "is", "and", "of", "who", "where", "lives", "ann", "lee", "rome", "paris", "was", "born", ".", ",", "?"]
TEXTS = [
    "Ann Leeson lives in Rome.",
    "Paris, where Lee was born",
    "héllo Ann  and  \U0001f600 Rome",
    "x",
    "the Leesons of Rome and the Anns of Paris, who was born in the born of Rome and of Paris.",
]
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
QUESTIONS = [
    {"question": "Who lives in Rome?", "context": "Ann Leeson lives in Rome. Lee lives in Paris."},
    {"question": "Where was Lee born?", "context": "The city of Rome, where Ann was born, and Paris. " * 6 + "Lee was born in \U0001f600 Paris."},
    {"question": "Who?", "context": "Ann"},
]
WAYS = [{}, {"top_k": 4}, {"top_k": 3, "handle_impossible_answer": True}, {"top_k": 2, "max_answer_len": 3, "max_seq_len": 40, "doc_stride": 12}]


def template(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token"], SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"], **names
    )


def wordpiece():
    vocab = {token: i for i, token in enumerate([*SPECIAL, *WORDS, *LETTERS, *["##" + c for c in LETTERS]])}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return template(tokenizer)


def unigram():
    pieces = [*SPECIAL, "▁", *["▁" + word for word in WORDS], *LETTERS, *LETTERS.upper(), *".,?"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(len(pieces) - i)) for i, piece in enumerate(pieces[:96])], unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return template(tokenizer)


def files(tokenizer):
    folder = tempfile.mkdtemp()
    tokenizer.save_pretrained(folder)
    return {name: json.loads((Path(folder) / name).read_text()) for name in ["tokenizer.json", "tokenizer_config.json"]}


def plain(value):
    """Without words, which are written otherwise here, and with numbers that JSON has."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("word", "index")}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value


def labels(tokenizer):
    out = []
    for name in ["bert", "bert-multilabel", "bert-regression"]:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(KIT / name)
        pipe = pipeline("text-classification", model=model, tokenizer=tokenizer)
        texts = [{"text": text} for text in TEXTS] + [{"text": TEXTS[0], "text_pair": TEXTS[1]}]
        out.append({"model": name, "inputs": texts, "outputs": [plain(pipe(text, top_k=None)) for text in texts]})
    return out


def entities(tokenizer, kind):
    model = transformers.AutoModelForTokenClassification.from_pretrained(KIT / "bert-token_cls")
    # Heads of the kit say nearly the same of every label: made louder, so that neighbours differ.
    model.classifier.weight.data *= 3
    model.config.id2label = dict(enumerate(TAGS))
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer)
    return [
        {"tokenizer": kind, "text": text, "strategy": strategy, "outputs": plain(pipe(text, aggregation_strategy=strategy, ignore_labels=["O"]))}
        for text in TEXTS
        for strategy in ["none", "simple", "first", "average", "max"]
    ]


def answers(tokenizer):
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(KIT / "bert-question_ans")
    pipe = pipeline("question-answering", model=model, tokenizer=tokenizer)
    out = []
    for question in QUESTIONS:
        for way in WAYS:
            way = {"max_seq_len": 64, **way}
            found = plain(pipe(**question, **way))
            out.append({**question, "options": way, "outputs": found if isinstance(found, list) else [found]})
    return out


def vectors(tokenizer):
    from sentence_transformers import SentenceTransformer, models as parts

    folder = Path(tempfile.mkdtemp())
    shutil.copytree(KIT / "bert-feature_extraction", folder, dirs_exist_ok=True)
    tokenizer.save_pretrained(folder)
    out = []
    for mode, normalize in [("mean", True), ("cls", False), ("lasttoken", True)]:
        modules = [parts.Transformer(str(folder), max_seq_length=12), parts.Pooling(32, pooling_mode=mode)]
        model = SentenceTransformer(modules=modules + ([parts.Normalize()] if normalize else []), device="cpu")
        saved = Path(tempfile.mkdtemp())
        model.save(str(saved))
        names = ["modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]
        texts = {name: json.loads((saved / name).read_text()) for name in names}
        out.append({"files": texts, "outputs": [[float(x) for x in row] for row in model.encode(TEXTS)]})
    return {"texts": TEXTS, "cases": out}


path = Path(sys.argv[1])
golden = json.loads(path.read_text()) if path.exists() else {}
if transformers.__version__.startswith("5"):
    golden["tokenizers"] = {"wordpiece": files(wordpiece()), "unigram": files(unigram())}
    golden["labels"] = labels(wordpiece())
    golden["tags"] = TAGS
    golden["entities"] = [*entities(wordpiece(), "wordpiece"), *entities(unigram(), "unigram")]
else:
    golden["answers"] = answers(wordpiece())
    golden["vectors"] = vectors(wordpiece())
path.write_text(json.dumps(golden, ensure_ascii=False))
