import { PeftError } from "../errors.js";
import { nearest } from "../nearest.js";
import { Registry } from "../registry.js";
import { option, words } from "../words.js";
import { classes, classesLoss } from "./classes.js";
import { cosent, cosentLoss } from "./cosent.js";
import { cosineSimilarity } from "./cosine_similarity.js";
import { ctc } from "./ctc.js";
import type { Loss } from "./loss.js";
import { multiLabel } from "./multi_label.js";
import {
  cachedMultipleNegativesRanking,
  multipleNegativesRanking,
  multipleNegativesRankingLoss,
  symmetricRanking,
} from "./multiple_negatives_ranking.js";
import { pictureTexts } from "./picture_texts.js";
import { regression } from "./regression.js";
import { reward, rewardLoss } from "./reward.js";
import { spans } from "./spans.js";
import { tokens, tokensLoss } from "./tokens.js";
import { triplet, tripletLoss } from "./triplet.js";

const shipped: readonly Loss[] = [
  ...[tokens, classes, multiLabel, regression, spans],
  ...[multipleNegativesRanking, cachedMultipleNegativesRanking, symmetricRanking],
  ...[triplet, cosineSimilarity, cosent, ctc, reward, pictureTexts],
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

/** Options of losses that are named: a scale, a margin. */
export type LossOptions = Readonly<Record<string, number | string>>;

type OptionForm = "number" | "share" | "column" | readonly string[];

interface Adjustable {
  /** What an option is: a number, a share below 1, a column of rows, or one of these words. */
  readonly options: Readonly<Record<string, OptionForm>>;
  readonly make: (options: LossOptions) => Loss;
}

const ofLabels = { smoothing: "share", weights: "column" } as const;
const ranking = { scale: "number", similarity: ["cosine", "dot"], chunk: "number" } as const;

/** Shipped losses that take options. */
const adjustable: Readonly<Record<string, Adjustable>> = {
  tokens: { options: ofLabels, make: tokensLoss },
  classes: { options: ofLabels, make: classesLoss },
  multipleNegativesRanking: { options: ranking, make: multipleNegativesRankingLoss },
  cachedMultipleNegativesRanking: {
    options: ranking,
    make: (options) => multipleNegativesRankingLoss({ chunk: 32, ...options }),
  },
  symmetricRanking: {
    options: ranking,
    make: (options) => multipleNegativesRankingLoss({ ...options, symmetric: true }),
  },
  triplet: {
    options: { distance: ["euclidean", "cosine", "manhattan"], margin: "number" },
    make: tripletLoss,
  },
  cosent: { options: { scale: "number" }, make: cosentLoss },
  reward: { options: { centerRewardsCoefficient: "number" }, make: rewardLoss },
};

const optionForms = {
  number: "a number above 0",
  share: "a number above 0 and below 1",
  column: "the name of a column",
};

function isOf(form: OptionForm, value: number | string): boolean {
  if (form === "column") return typeof value === "string";
  if (typeof form !== "string") return form.includes(`${value}`);
  return Number(value) > 0 && (form === "number" || Number(value) < 1);
}

function adjusted(name: string, given: LossOptions): Loss | undefined {
  const found = Object.hasOwn(adjustable, name) ? adjustable[name] : undefined;
  const known = found?.options ?? {};
  const fault = Object.entries(given).find(([key, value]) => {
    const is = Object.hasOwn(known, key) ? known[key] : undefined;
    return is === undefined || !isOf(is, value);
  });
  if (fault === undefined) return found?.make(given);
  const forms = Object.entries(known).map(
    ([key, is]) => `${key}: ${typeof is === "string" ? optionForms[is] : is.join(" or ")}`,
  );
  throw new PeftError("option", {
    what: words`${option("lossOptions", { [fault[0]]: fault[1] })} is nothing for the loss ${name}.`,
    why: forms.length === 0 ? "it has no options." : `its options are ${forms.join("; ")}.`,
    fix: forms.length === 0 ? words`leave ${option("lossOptions")} out.` : "use one of these.",
  });
}

/** A loss, or the one of that name, with options that it takes by name. Throws "option". */
export function lossNamed(loss: Loss | string, options: LossOptions = {}): Loss {
  const hasOptions = Object.keys(options).length > 0;
  if (typeof loss !== "string") {
    if (!hasOptions) return loss;
    throw new PeftError("option", {
      what: words`${option("lossOptions")} are given beside a loss that is made already.`,
      why: "they are for a loss that is named.",
      fix: "give them where the loss is made: tripletLoss({ margin: 0.5 }).",
    });
  }
  const own = hasOptions && losses.find(loss) !== undefined ? adjusted(loss, options) : undefined;
  if (own !== undefined) return own;
  const found = losses.find(loss);
  if (found !== undefined) return found;
  const names = losses.all.map(({ name }) => name);
  throw new PeftError("option", {
    what: words`There is no ${option("loss")} ${JSON.stringify(loss)}.`,
    why: `known are ${names.join(", ")}.`,
    fix: words`give ${option("loss", nearest(loss, names) ?? names[0])}, or add yours: registerLoss(loss).`,
  });
}
