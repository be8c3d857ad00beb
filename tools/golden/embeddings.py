"""Golden numbers for tests/contracts/embedding_losses.test.ts and src/tasks/retrieval.test.ts: losses of vectors with their gradients,
and metrics of retrieval, as sentence-transformers has them.

Run: HF_HUB_OFFLINE=1 python tools/golden/embeddings.py tests/golden/embeddings.json
(torch 2.13.0, transformers 5.23.0, sentence-transformers 6.2.0, scipy 1.17.1)
"""
import json
import random
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from sentence_transformers.util import dot_score
from transformers import AutoModel

torch.set_num_threads(1)
MODEL = Path(__file__).parent.parent.parent / "tests/kit/models/bert-feature_extraction"
ROWS = [  # rows of [anchor, positive, negative, negative]
    [[5, 7, 9, 11, 3], [9, 40, 41, 42, 43, 44, 45], [8, 8, 3], [12, 13, 14, 15]],
    [[21, 22], [23, 24, 25, 26], [27, 28, 29], [30, 31, 32, 33, 34]],
    [[50, 51, 52, 53], [54, 55], [56, 57, 58, 59, 60], [61, 62]],
]
SCORES = [0.9, 0.1, 0.4]
WEIGHTS = ["encoder.layer.1.output.dense.weight", "encoder.layer.0.attention.self.query.weight", "embeddings.word_embeddings.weight"]

PART = slice(7 * 32, 7 * 32 + 12)  # of the embeddings: of a token that the rows have


class Texts(torch.nn.Module):
    """The hidden states of ids, as the first module of a SentenceTransformer gives them."""

    def __init__(self):
        super().__init__()
        self.model = AutoModel.from_pretrained(MODEL).eval()

    def forward(self, features, **_):
        states = self.model(input_ids=features["input_ids"], attention_mask=features["attention_mask"])
        return {**features, "token_embeddings": states.last_hidden_state}


def features(texts):
    longest = max(map(len, texts))
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    return {"input_ids": ids, "attention_mask": mask}


def model(pooling="mean", normalize=False):
    texts = Texts()
    modules = [texts, Pooling(32, pooling_mode=pooling)] + ([Normalize()] if normalize else [])
    made = SentenceTransformer(modules=modules, device="cpu")
    return made.eval(), texts.model


def shown(numbers):
    return [float(f"{x:.8g}") for x in torch.as_tensor(numbers).flatten().tolist()]


def vectors():
    made = {}
    for pooling, normalize in [("mean", False), ("cls", False), ("lasttoken", False), ("mean", True)]:
        net, _ = model(pooling, normalize)
        with torch.no_grad():
            out = net(features([row[0] for row in ROWS]))["sentence_embedding"]
        made[f"{pooling}{' normalized' if normalize else ''}"] = shown(out)
    return made


def loss(make, columns, labels=None, **pooled):
    net, bert = model(**pooled)
    batch = [features([row[i] for row in ROWS]) for i in range(columns)]
    value = make(net)(batch, None if labels is None else torch.tensor(labels))
    value.backward()
    parameters = dict(bert.named_parameters())
    slices = {name: shown(parameters[name].grad.flatten()[PART]) for name in WEIGHTS}
    return {"texts": columns, "loss": value.item(), "gradients": slices, **({} if labels is None else {"labels": labels})}


def all_losses():
    ranking, triplet, metric = losses.MultipleNegativesRankingLoss, losses.TripletLoss, losses.TripletDistanceMetric
    both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    return {
        "ranking of pairs": loss(ranking, 2),
        "ranking of triplets": loss(ranking, 3),
        "ranking with two negatives": loss(ranking, 4),
        "ranking by dot": loss(lambda m: ranking(m, scale=0.5, similarity_fct=dot_score), 3),
        "ranking normalized": loss(lambda m: ranking(m, scale=30), 3, normalize=True),
        "ranking of first tokens": loss(ranking, 3, pooling="cls"),
        "symmetric": loss(lambda m: ranking(m, **both), 2),
        "symmetric with negatives": loss(lambda m: ranking(m, **both), 3),
        "triplet": loss(triplet, 3),
        "triplet cosine": loss(lambda m: triplet(m, distance_metric=metric.COSINE, triplet_margin=0.5), 3),
        "triplet manhattan": loss(lambda m: triplet(m, distance_metric=metric.MANHATTAN, triplet_margin=3), 3),
        "cosine": loss(losses.CosineSimilarityLoss, 2, SCORES),
        "cosent": loss(losses.CoSENTLoss, 2, SCORES),
    }


def retrieval():
    """Scores of queries and documents, with more than one right answer, and what the evaluator makes of them."""
    draw = random.Random(0)
    unit = lambda: torch.nn.functional.normalize(torch.tensor([draw.gauss(0, 1) for _ in range(4)]), dim=0)
    queries, corpus = torch.stack([unit() for _ in range(5)]), torch.stack([unit() for _ in range(12)])
    relevant = [[0], [1, 7], [2], [3, 4, 11], [9]]
    evaluator = InformationRetrievalEvaluator(
        queries={str(i): str(i) for i in range(5)}, corpus={str(i): str(i) for i in range(12)},
        relevant_docs={str(i): {str(j) for j in docs} for i, docs in enumerate(relevant)},
        mrr_at_k=[3, 10], ndcg_at_k=[3, 10], accuracy_at_k=[1, 3], precision_recall_at_k=[1, 3], map_at_k=[3, 12],
    )

    scores = queries @ corpus.T
    hits = [[{"corpus_id": str(j), "score": row[j]} for j in range(12)] for row in scores.tolist()]
    found = evaluator.compute_metrics(hits)
    metrics = {name: {str(k): float(v) for k, v in values.items()} for name, values in found.items()}
    return {"queries": [shown(q) for q in queries], "corpus": [shown(c) for c in corpus], "relevant": relevant, "metrics": metrics}


golden = {"rows": ROWS, "vectors": vectors(), "losses": all_losses(), "retrieval": retrieval()}
Path(sys.argv[1]).write_text(json.dumps(golden))
