import { join } from "node:path";
import { collateInputs } from "../../../src/data/collate.js";
import { encodeRows } from "../../../src/data/encode.js";
import type { Row } from "../../../src/data/row.js";
import { rowsFrom } from "../../../src/data/rows_from.js";
import { rewardLoss } from "../../../src/losses/reward.js";
import type { PeftModel } from "../../../src/peft/peft_model.js";
import { AutoTokenizer } from "../../../src/tokenizers/auto.js";
import type { Tokenizer } from "../../../src/tokenizers/tokenizer.js";
import type { Inputs } from "../../../src/trace/feeds.js";
import { Trainer } from "../../../src/train/trainer.js";
import { json } from "../files.js";
import type { CaseResult } from "../result.js";
import { type Check, equal, exact } from "../tensors.js";
import { floats, ids, pairsOf } from "./batches.js";
import {
  type CaseFile,
  type Config,
  checkWeights,
  number,
  numeric,
  type RlhfMethod,
  type Run,
  type Variant,
} from "./variant.js";

type Records = readonly Readonly<Record<string, unknown>>[];

/** Rows of a case, as a data set of records. */
async function rowsOf(records: Records): Promise<readonly Row[]> {
  return await rowsFrom(records);
}

const lossOf = (config: Config) => {
  const k = numeric(config, "center_rewards_coefficient");
  return rewardLoss(k === undefined ? {} : { centerRewardsCoefficient: k });
};

/** The records of a variant: prompts within answers, margins beside them. */
function recordsOf({ rows, file }: Variant, margins: unknown): Records {
  return (rows as Records).map(({ prompt, chosen, rejected }, i) => ({
    ...(file["implicit"]
      ? { chosen: `${prompt}${chosen}`, rejected: `${prompt}${rejected}` }
      : { prompt, chosen, rejected }),
    ...(file["margins"] && Array.isArray(margins) ? { margin: margins[i] } : {}),
  }));
}

async function prepare(v: Variant): Promise<Run> {
  const { model, expected, config, file, folder } = v;
  const kitIds = ids(expected.get(`${file.batch}.input_ids`));
  const margin = file["margins"] ? expected.get(`${file.batch}.margin`) : undefined;
  const [rows, width] = kitIds.shape;
  const tokenizer = await AutoTokenizer.fromPretrained(join(folder, "../../models/llama"));
  const margins = json<CaseFile>(folder, "case.json")["margins"];
  const { samples } = encodeRows(await rowsOf(recordsOf(v, margins)), {
    tokenizer,
    task: "SEQ_CLS",
    numLabels: 1,
  });
  const own = samples.flatMap(({ inputIds, others = [] }) => [
    [...inputIds],
    ...others.map((o) => [...o.inputIds]),
  ]);
  const rowOf = (row: number): number[] => [...kitIds.data.subarray(row * width, (row + 1) * width)];
  const isSame = own.every((row, i) => {
    const there = rowOf((i >> 1) + (i % 2) * (rows / 2));
    return `${row}` === `${there.slice(0, row.length)}` && there.slice(row.length).every((id) => id === 0);
  });
  const batch = {
    task: "SEQ_CLS",
    inputIds: kitIds,
    attentionMask: ids(expected.get(`${file.batch}.attention_mask`)),
    columns: { pairs: pairsOf(rows), margins: floats(margin?.data ?? new Float32Array(rows / 2)) },
  } as unknown as Inputs;
  const loss = lossOf(config);
  return {
    pass: async () => {
      if (!isSame) throw new Error("the ids that come of the rows are others");
      return await model.forwardBackward(batch, { loss, training: false });
    },
    values: async () => {
      const { data } = (await model.forward(batch)).logits;
      return {
        rewards_chosen: floats(data.subarray(0, rows / 2)),
        rewards_rejected: floats(data.subarray(rows / 2)),
      };
    },
  };
}

interface LogEntry extends Readonly<Record<string, number>> {
  readonly loss: number;
  readonly grad_norm: number;
  readonly learning_rate: number;
}

/** The trainer's run: row by row, two to a step. */
async function train(v: Variant): Promise<readonly Check[]> {
  const { model, config, folder, json: wanted, expected, name } = v;
  const tokenizer: Tokenizer = await AutoTokenizer.fromPretrained(join(folder, "../../models/llama"));
  const margins = json<CaseFile>(folder, "case.json")["margins"];
  const trainer = new Trainer({
    ...{
      model: model as PeftModel,
      tokenizer,
      train: await rowsOf(recordsOf(v, margins)),
      loss: lossOf(config),
    },
    ...{ batchSize: 1, gradientAccumulationSteps: 2, maxSteps: 4, shuffle: false, warmupSteps: 1 },
    ...{ lr: 0.02, betas: [0.8, 0.95], eps: 1e-3, weightDecay: 0.1, maxGradNorm: 0.2 },
  });
  const checks: Check[] = [];
  const log = wanted["log"] as readonly LogEntry[];
  for await (const event of trainer.run()) {
    if (event.type !== "step") continue;
    const entry = log[event.step - 1];
    checks.push(
      number("log.loss", event.loss, entry?.loss),
      number("log.grad_norm", event.gradNorm, entry?.grad_norm),
      number("log.learning_rate", event.lr, entry?.learning_rate),
    );
    for (const [key, value] of Object.entries(entry ?? {}))
      if (!["loss", "grad_norm", "learning_rate", "step"].includes(key))
        checks.push(number(`log.${key}`, event.metrics?.[key] ?? Number.NaN, value));
  }
  return [...checks, ...checkWeights(model, expected, `${name}.trained.`)];
}

export const reward: RlhfMethod = { task: "SEQ_CLS", prepare, train };

/** Rows, and the ids that come of them: prepared, and collated. */
export async function runRewardData(kit: string, name: string): Promise<CaseResult> {
  const folder = join(kit, "cases", name);
  const file = json<{ tokenizer: string; variants: Record<string, { config: Config; rows: Records }> }>(
    folder,
    "case.json",
  );
  const wanted = json<
    Record<
      string,
      { prepared: Records; batch: { input_ids: number[][]; attention_mask: number[][]; margin?: number[] } }
    >
  >(folder, "expect.json");
  const tokenizer = await AutoTokenizer.fromPretrained(join(kit, file.tokenizer));
  const checks: Check[] = [];
  for (const [variant, { config, rows }] of Object.entries(file.variants)) {
    const expected = wanted[variant];
    const maxLength = numeric(config, "max_length");
    const { samples, report } = encodeRows(await rowsOf(rows), {
      ...{ tokenizer, task: "SEQ_CLS" as const, numLabels: 1 },
      ...(maxLength === undefined ? {} : { maxLength }),
    });
    const prepared = samples.map(({ inputIds, others = [], margin }) => ({
      chosen_ids: [...inputIds],
      rejected_ids: [...(others[0]?.inputIds ?? [])],
      ...(margin === undefined ? {} : { margin }),
    }));
    const halves = [
      ...samples.map(({ others: _, ...chosen }) => chosen),
      ...samples.map(({ others = [], ...rest }) => ({ ...rest, ...others[0] })),
    ];
    const { inputIds, attentionMask } = collateInputs(halves, { padTokenId: 0, paddingSide: "right" });
    const tableOf = ({ data, shape: [count, width] }: typeof inputIds): number[][] =>
      Array.from({ length: count }, (_, row) => [...data.subarray(row * width, (row + 1) * width)]);
    checks.push(
      equal(
        `${variant}.prepared`,
        prepared.map((row) => Object.entries(row).sort()),
        expected?.prepared.map((row) => Object.entries(row).sort()),
      ),
      equal(`${variant}.input_ids`, tableOf(inputIds), expected?.batch.input_ids),
      equal(`${variant}.attention_mask`, tableOf(attentionMask), expected?.batch.attention_mask),
      exact(
        `${variant}.dropped`,
        report.tooLong === rows.length - prepared.length,
        "dropped rows are not counted",
      ),
    );
  }
  return { checks };
}
