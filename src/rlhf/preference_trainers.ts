import { padTokenOf } from "../data/batches.js";
import { collateJudged, collatePairs } from "../data/preference/collate.js";
import { type CompletionOptions, encodeCompletions, unpaired } from "../data/preference/encode.js";
import { expectRows, type JudgedRow, type PreferenceRow, type Row, saidText } from "../data/row.js";
import { PeftError } from "../errors.js";
import { type BcoLossOptions, bcoLoss } from "../losses/bco.js";
import { type CpoLossOptions, cpoLoss } from "../losses/cpo.js";
import { type DpoLossOptions, dpoLoss } from "../losses/dpo.js";
import { type KtoLossOptions, ktoLoss } from "../losses/kto.js";
import { type OrpoLossOptions, orpoLoss } from "../losses/orpo.js";
import type { TrainableModel } from "../peft/trainable.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { RunHeader, TrainEvent } from "../train/events.js";
import { Trainer, type TrainerOptions } from "../train/trainer.js";
import { option, words } from "../words.js";
import { type PreferenceMethod, PreferenceSource } from "./preference_source.js";

/** Options of the Trainer that hold for preferences too, and their rows. */
export interface PreferenceOptions
  extends Omit<
    TrainerOptions,
    | (
        | "tokenizer"
        | "outputDir"
        | "model"
        | "train"
        | "validation"
        | "loss"
        | "lossOptions"
        | "packing"
        | "maxTargetLength"
        | "labels"
      )
    | ("emptyLabels" | "truncationSide" | "generate" | "generation" | "metrics" | "samples" | "shuffleWindow")
  > {
  /** The model's own. */
  tokenizer: Tokenizer;
  /** Pairs, or judged rows (KTO, BCO): rowsFrom(list, { kind: "preference" }), or of a file. */
  rows: readonly Row[];
  /** Rows to evaluate on while training. @default none */
  validation?: readonly Row[] | undefined;
  /** The folder that gets the adapter, checkpoints and the report. @default nothing is written */
  output?: string | undefined;
  /**
   * What the policy is compared with: the base without adapter, or the model as it is when the run begins.
   * @default "start" for an adapter that was loaded, or a whole model, else "base"
   */
  reference?: "base" | "start" | undefined;
  /** Learning rate at its peak. @default 5e-5 for an adapter, 1e-6 for a whole model */
  lr?: number | undefined;
  /** Which end stays of what is longer than `maxLength` (DPO). @default "start" */
  keep?: "start" | "end" | undefined;
}

/** Options of DPO: its loss's, and those of the run. */
export interface DPOOptions extends PreferenceOptions, Omit<DpoLossOptions, "isWeighed"> {
  /** Tokens beyond the shorter completion of a pair count this much (LD-DPO). @default 1 */
  ldAlpha?: number | undefined;
}
export interface KTOOptions extends PreferenceOptions, KtoLossOptions {}
export interface BCOOptions extends PreferenceOptions, Omit<BcoLossOptions, "isWeighed"> {}
export interface ORPOOptions extends PreferenceOptions, OrpoLossOptions {}
export interface CPOOptions extends PreferenceOptions, CpoLossOptions {}

/** What a trainer of preferences is. */
interface Recipe {
  readonly method: PreferenceMethod;
  readonly form: CompletionOptions["form"];
  readonly isPaired: boolean;
  /** Rows keep their order, as each batch's completions are turned (KTO). */
  readonly keepsOrder?: boolean;
}

/** What adapters learn preferences with; whole models take a fiftieth of it, as TRL does. */
const RATE = 5e-5;

const lossKeys = [
  ...["loss", "lossWeights", "beta", "labelSmoothing", "fDivergence", "fAlphaDivergenceCoef", "discopopTau"],
  ...["useWeighting", "ldAlpha", "desirableWeight", "undesirableWeight", "cpoAlpha", "simpoGamma", "alpha"],
];

/** Splits options into those of the loss and those of the run. */
function lossOptionsOf(options: object): Record<string, unknown> {
  const said = Object.entries(options).filter(
    ([name, value]) => lossKeys.includes(name) && value !== undefined,
  );
  return Object.fromEntries(said);
}

function trainerOf(model: TrainableModel, options: PreferenceOptions, recipe: Recipe): Trainer {
  const { rows, validation = [], output, reference, keep, ...given } = options;
  const plain = Object.fromEntries(Object.entries(given).filter(([name]) => !lossKeys.includes(name)));
  const { tokenizer, batchSize = 8, gradientAccumulationSteps = 1, seed = 0 } = options;
  const { shuffle = recipe.keepsOrder !== true, groupByLength = shuffle && !recipe.keepsOrder } = options;
  const isEncoder = model.taskType === "SEQ_2_SEQ_LM";
  const limit = Math.min(options.maxLength ?? 1024, model.maxPositions);
  const form = isEncoder ? "encoded" : recipe.form;
  const encode = (some: readonly Row[]): ReturnType<typeof encodeCompletions> =>
    encodeCompletions(rowsFor(some, recipe), { tokenizer, form, maxLength: limit, keep });
  const { samples, report } = encode(rows);
  if (samples.length === 0) throw nothingLeft(report);
  const source = new PreferenceSource({
    ...{ model, method: recipe.method, samples, report, batchSize, gradientAccumulationSteps, seed },
    validation: validation.length === 0 ? [] : encode(validation).samples,
    reference: reference ?? (isContinued(model) ? "start" : "base"),
    ...{ shuffle, groupByLength },
    padding: { padTokenId: padTokenOf(tokenizer), paddingSide: "right" },
    warnings: contradicting(rows),
  });
  return new Trainer({
    lr: model.adapterConfig === undefined ? RATE / 50 : RATE,
    ...(plain as unknown as TrainerOptions),
    ...{ model, train: source, loss: recipe.method.loss, batchSize, gradientAccumulationSteps, seed },
    ...(output !== undefined && { outputDir: output }),
  });
}

/** Whether training goes on from what was trained before: the reference is then where it begins. */
function isContinued(model: TrainableModel): boolean {
  if (model.adapterConfig === undefined) return true;
  const adapter: unknown = "activeAdapter" in model ? model.activeAdapter : undefined;
  return (
    typeof adapter === "object" && adapter !== null && "loaded" in adapter && adapter.loaded !== undefined
  );
}

function rowsFor(rows: readonly Row[], { isPaired }: Recipe): readonly (PreferenceRow | JudgedRow)[] {
  expectRows("rows of preferences", rows);
  const usable = rows.flatMap((row) => (row.kind === "preference" || row.kind === "judged" ? [row] : []));
  const strange = usable.length < rows.length || (isPaired && usable.some(({ kind }) => kind === "judged"));
  if (rows.length > 0 && !strange) return isPaired ? usable : unpaired(usable);
  const first = rows.find(({ kind }) => kind !== "preference");
  throw new PeftError("data", {
    what: rows.length === 0 ? "There are no rows." : `${first?.at} is a row of kind "${first?.kind}".`,
    why: isPaired
      ? 'what is learnt is which of two answers is better: rows of kind "preference" say it.'
      : 'what is learnt is which answers are desirable: rows of kind "judged", or of kind "preference", say it.',
    fix: words`read them so: ${option("kind", isPaired ? "preference" : "judged")}, with columns prompt, ${isPaired ? "chosen and rejected" : "completion and label"}.`,
  });
}

/** Pairs that other rows have the other way round teach nothing; most often two columns were swapped. */
function contradicting(rows: readonly Row[]): string[] {
  const key = (prompt: string, a: string, b: string): string => JSON.stringify([prompt, a, b]);
  const pairs = rows.filter((row) => row.kind === "preference");
  const said = ({ prompt, chosen, rejected }: PreferenceRow): [string, string, string] => [
    saidText(prompt),
    saidText(chosen),
    saidText(rejected),
  ];
  const known = new Set(pairs.map((row) => key(...said(row))));
  const swapped = pairs.filter((row) => {
    const [prompt, chosen, rejected] = said(row);
    return known.has(key(prompt, rejected, chosen));
  });
  if (swapped.length === 0) return [];
  return [
    `${swapped.length} pairs stand in the rows both ways round, first at ${swapped[0]?.at}: were chosen and rejected swapped?`,
  ];
}

function nothingLeft({ rows, maxLength }: { readonly rows: number; readonly maxLength: number }): PeftError {
  return new PeftError("data", {
    what: `None of ${rows} rows is left.`,
    why: `their prompts alone fill the ${maxLength} tokens that a row may have.`,
    fix: words`raise ${option("maxLength")}, or keep the end of long rows: ${option("keep", "end")}.`,
  });
}

function dpoRecipe(options: DPOOptions): Recipe {
  const { ldAlpha, ...own } = lossOptionsOf(options) as DpoLossOptions & { ldAlpha?: number };
  const loss = dpoLoss({ ...own, ...(ldAlpha !== undefined && { isWeighed: true }) });
  return {
    method: { loss, collate: collatePairs, hasReference: true, ldAlpha },
    form: "joint",
    isPaired: true,
  };
}

function ktoRecipe(options: KTOOptions): Recipe {
  const own: KtoLossOptions = lossOptionsOf(options);
  const hasKl = own.loss !== "apo_zero_unpaired";
  if (hasKl && options.batchSize === 1) throw oneRow();
  const method = { loss: ktoLoss(own), collate: collateJudged, hasReference: true, hasKl };
  return { method, form: "joint", isPaired: false, keepsOrder: true };
}

function oneRow(): PeftError {
  return new PeftError("option", {
    what: words`${option("batchSize")} is 1.`,
    why: "KTO compares a row with completions of the batch's other prompts: alone it has none.",
    fix: words`give ${option("batchSize", 2)} or more, or ${option("loss", "apo_zero_unpaired")}.`,
  });
}

/**
 * Direct preference optimization and its relatives on pairs. Reference: trl/trainer/dpo_trainer.py
 * @throws "option", "data" for rows that are no pairs
 * @example
 * ```ts
 * import { DPOTrainer, rowsFrom } from "peft.js";
 *
 * const pairs = rowsFrom([{ prompt: "Is it late?", chosen: " No.", rejected: " Go away." }]);
 * for await (const event of new DPOTrainer(model, { tokenizer, rows: pairs, output: "dpo" }).run())
 *   if (event.type === "step") console.log(event.loss, event.metrics);
 * ```
 */
export class DPOTrainer {
  readonly #trainer: Trainer;
  constructor(model: TrainableModel, options: DPOOptions) {
    this.#trainer = trainerOf(model, options, dpoRecipe(options));
  }
  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }
  /** Trains, and says what happens: see Trainer. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

/** Kahneman-Tversky optimization on judged rows, or on pairs. Reference: trl/trainer/kto_trainer.py */
export class KTOTrainer {
  readonly #trainer: Trainer;
  constructor(model: TrainableModel, options: KTOOptions) {
    this.#trainer = trainerOf(model, options, ktoRecipe(options));
  }
  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }
  /** Trains, and says what happens: see Trainer. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

/** Binary classifier optimization on judged rows, or on pairs. Reference: trl/experimental/bco */
export class BCOTrainer {
  readonly #trainer: Trainer;
  constructor(model: TrainableModel, options: BCOOptions) {
    const loss = bcoLoss(lossOptionsOf(options));
    const method = { loss, collate: collateJudged, hasReference: true, hasRewardsSoFar: true };
    this.#trainer = trainerOf(model, options, { method, form: "reserved", isPaired: false });
  }
  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }
  /** Trains, and says what happens: see Trainer. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

/** Odds ratio preference optimization on pairs, without a reference. Reference: trl/experimental/orpo */
export class ORPOTrainer {
  readonly #trainer: Trainer;
  constructor(model: TrainableModel, options: ORPOOptions) {
    const collate: PreferenceMethod["collate"] = (samples, padding) =>
      collatePairs(samples, { ...padding, learnsPrompts: model.taskType === "CAUSAL_LM" });
    const method = { loss: orpoLoss(lossOptionsOf(options)), collate, hasReference: false };
    this.#trainer = trainerOf(model, options, { method, form: "separate", isPaired: true });
  }
  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }
  /** Trains, and says what happens: see Trainer. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

/** CPO, SimPO and AlphaPO on pairs, without a reference. Reference: trl/experimental/cpo */
export class CPOTrainer {
  readonly #trainer: Trainer;
  constructor(model: TrainableModel, options: CPOOptions) {
    const method = { loss: cpoLoss(lossOptionsOf(options)), collate: collatePairs, hasReference: false };
    this.#trainer = trainerOf(model, options, { method, form: "separate", isPaired: true });
  }
  /** What the run will do. */
  header(): Promise<RunHeader> {
    return this.#trainer.header();
  }
  /** Trains, and says what happens: see Trainer. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}
