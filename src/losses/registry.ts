import { PeftError } from "../errors.js";
import { nearest } from "../nearest.js";
import { Registry } from "../registry.js";
import { option, words } from "../words.js";
import { classes } from "./classes.js";
import { cosent } from "./cosent.js";
import { cosineSimilarity } from "./cosine_similarity.js";
import type { Loss } from "./loss.js";
import { multiLabel } from "./multi_label.js";
import {
  cachedMultipleNegativesRanking,
  multipleNegativesRanking,
  symmetricRanking,
} from "./multiple_negatives_ranking.js";
import { regression } from "./regression.js";
import { spans } from "./spans.js";
import { tokens } from "./tokens.js";
import { triplet } from "./triplet.js";

const shipped: readonly Loss[] = [
  ...[tokens, classes, multiLabel, regression, spans],
  ...[multipleNegativesRanking, cachedMultipleNegativesRanking, symmetricRanking],
  ...[triplet, cosineSimilarity, cosent],
];

/** Losses by their names. */
export const losses: Registry<Loss> = new Registry("loss", shipped, ({ name }) => [name]);

/**
 * Adds a loss: `loss: "its name"` finds it wherever a loss is taken, and so does `--loss`.
 * @throws "registered" where its name is known
 * @example
 * ```ts
 * import { type Loss, registerLoss, Trainer } from "peft.js";
 *
 * declare const weighted: Loss; // see docs/losses.md
 * registerLoss(weighted);
 * const trainer = new Trainer({ model, tokenizer, train: rows, loss: "weighted" });
 * ```
 */
export function registerLoss(loss: Loss): void {
  losses.register(loss);
}

/** A loss, or the one of that name. Throws "option". */
export function lossNamed(loss: Loss | string): Loss {
  if (typeof loss !== "string") return loss;
  const found = losses.find(loss);
  if (found !== undefined) return found;
  const names = losses.all.map(({ name }) => name);
  throw new PeftError("option", {
    what: words`There is no ${option("loss")} ${JSON.stringify(loss)}.`,
    why: `known are ${names.join(", ")}.`,
    fix: words`give ${option("loss", nearest(loss, names) ?? names[0])}, or add yours: registerLoss(loss).`,
  });
}
