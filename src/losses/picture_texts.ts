import { dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { Loss } from "./loss.js";

/**
 * Scores [pictures, texts] of a batch whose text i belongs to picture i: cross-entropy of each picture's
 * texts and of each text's pictures, halved (CLIP); or each pair by itself, together or not (SigLIP).
 */
export const pictureTexts: Loss = {
  name: "pictureTexts",
  write: ({ g, config, logits }) => {
    const scores = logits();
    const rows = dimAt(scores.shape, 0);
    const sum = config.pairsApart === true ? apart(g, scores) : together(g, scores);
    return { sum, count: g.size(rows) };
  },
};

function together(g: Graph, scores: Tensor): Tensor {
  const own = g.iota(dimAt(scores.shape, 0));
  const byPicture = g.sum(g.crossEntropy(scores, own));
  const byText = g.sum(g.crossEntropy(g.transpose(scores, [1, 0]), own));
  return g.mul(g.add(byPicture, byText), 0.5);
}

/** -sum log sigmoid(+-score), + where picture and text belong together */
function apart(g: Graph, scores: Tensor): Tensor {
  const each = g.iota(dimAt(scores.shape, 0));
  const signed = g.where(g.equal(g.unsqueeze(each, 1), each), scores, g.neg(scores));
  // log sigmoid(x) = min(x, 0) - log(1 + exp(-|x|))
  const logs = g.sub(g.min(signed, 0), g.log(g.add(g.exp(g.neg(g.abs(signed))), 1)));
  return g.neg(g.sum(logs));
}
