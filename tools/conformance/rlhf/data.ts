import { join } from "node:path";
import {
  type CompletionBatch,
  collateJudged,
  collatePairs,
  collateRows,
  mismatched,
} from "../../../src/data/preference/collate.js";
import { encodeCompletions, unpaired } from "../../../src/data/preference/encode.js";
import type { JudgedRow, PreferenceRow } from "../../../src/data/row.js";
import { rowsFrom } from "../../../src/data/rows_from.js";
import { AutoTokenizer } from "../../../src/tokenizers/auto.js";
import type { Tokenizer } from "../../../src/tokenizers/tokenizer.js";
import { json } from "../files.js";
import type { CaseResult } from "../result.js";
import { type Check, equal, failure } from "../tensors.js";
import { type Config, numeric } from "./variant.js";

interface DataFile {
  readonly tokenizer: string;
  readonly variants: Readonly<Record<string, { readonly config: Config; readonly rows: readonly object[] }>>;
}
type Expect = Readonly<Record<string, unknown>>;
type Check1 = (
  rows: readonly object[],
  config: Config,
  tokenizer: Tokenizer,
  expect: Expect,
) => readonly Check[];

const dataMethods: Readonly<Record<string, Check1>> = { dpo: checkDpo, kto: checkKto, orpo: checkOrpo };

/** Whether the rows of a trainer are checked here. */
export function isDataCase(name: string): boolean {
  return name.startsWith("data-") && (name.split("-")[1] ?? "") in dataMethods;
}

export async function runData(kit: string, name: string): Promise<CaseResult> {
  const folder = join(kit, "cases", name);
  const file = json<DataFile>(folder, "case.json");
  const expect = json<Record<string, Expect>>(folder, "expect.json");
  const tokenizer = await AutoTokenizer.fromPretrained(join(kit, file.tokenizer));
  const check = dataMethods[name.split("-")[1] ?? ""];
  const checks = Object.entries(file.variants).flatMap(([variant, { config, rows }]) => {
    let found: readonly Check[] = [];
    try {
      found = check?.(rows, config, tokenizer, expect[variant] ?? {}) ?? [];
    } catch (error) {
      found = [failure(error)];
    }
    return found.map((one) => ({ ...one, key: `${variant}.${one.key}` }));
  });
  return { checks };
}

function preferences(rows: readonly object[]): PreferenceRow[] {
  return rowsFrom(rows, { kind: "preference" }).filter((row) => row.kind === "preference");
}

function lists({
  data,
  shape: [rows = 0, width = 0],
}: {
  data: ArrayLike<number>;
  shape: readonly number[];
}): number[][] {
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: width }, (_, j) => data[i * width + j] ?? 0),
  );
}

function completionBatch(batch: CompletionBatch): Record<string, number[][]> {
  return {
    input_ids: lists(batch.inputIds),
    attention_mask: lists(batch.attentionMask),
    completion_mask: lists(batch.columns["completion"] ?? { data: [], shape: [] }),
  };
}

function lengthOf(config: Config): number {
  const length = config["max_length"];
  return typeof length === "number" ? length : 1024;
}

function padding(config: Config): { padTokenId: number; padToMultipleOf: number } {
  return { padTokenId: 0, padToMultipleOf: numeric(config, "pad_to_multiple_of") ?? 1 };
}

function checkDpo(
  rows: readonly object[],
  config: Config,
  tokenizer: Tokenizer,
  expect: Expect,
): readonly Check[] {
  const keep = config["truncation_mode"] === "keep_end" ? "end" : "start";
  const options = { tokenizer, form: "joint", maxLength: lengthOf(config), keep } as const;
  const { samples } = encodeCompletions(preferences(rows), options);
  const prepared = samples.map(({ joint }) => ({
    prompt_ids: joint?.prompt,
    chosen_ids: joint?.completions[0],
    rejected_ids: joint?.completions[1],
  }));
  const batch = completionBatch(collatePairs(samples, padding(config)));
  return [equal("prepared", prepared, expect["prepared"]), ...batchChecks(batch, expect)];
}

function batchChecks(batch: Readonly<Record<string, unknown>>, expect: Expect): readonly Check[] {
  const wanted = (expect["batch"] ?? {}) as Expect;
  return Object.keys(wanted).map((key) => equal(`batch.${key}`, batch[key], wanted[key]));
}

function checkKto(
  rows: readonly object[],
  config: Config,
  tokenizer: Tokenizer,
  expect: Expect,
): readonly Check[] {
  const isPairs = rows.some((row) => "chosen" in row);
  const read = isPairs
    ? unpaired(preferences(rows))
    : rowsFrom(rows, { kind: "judged" }).filter((row): row is JudgedRow => row.kind === "judged");
  const options = { tokenizer, form: "joint", maxLength: lengthOf(config) } as const;
  const { samples } = encodeCompletions(read, options);
  const size = numeric(config, "per_device_train_batch_size") ?? 8;
  const hasKl = config["loss_type"] !== "apo_zero_unpaired";
  const turned = samples.flatMap((_, i) =>
    i % size === 0 ? mismatched(samples.slice(i, i + size), Number.POSITIVE_INFINITY) : [],
  );
  const prepared = samples.map(({ isDesirable, joint }, i) => ({
    label: isDesirable,
    prompt_ids: joint?.prompt,
    completion_ids: joint?.completions[0],
    ...(hasKl && { KL_completion_ids: turned[i]?.sequence.ids.slice(turned[i]?.sequence.start) }),
  }));
  const of = (batch: CompletionBatch, prefix: string): [string, unknown][] =>
    Object.entries(completionBatch(batch)).map(([key, value]) => [prefix + key, value]);
  const cut = turned.map(({ row, sequence: { ids, start } }) => ({
    row,
    sequence: { ids: ids.slice(0, lengthOf(config)), start },
  }));
  const batch = Object.fromEntries([
    ...of(collateJudged(samples, padding(config)), ""),
    ...of(collateRows(cut, padding(config)), "KL_"),
    ["label", samples.map(({ isDesirable }) => isDesirable)],
  ]);
  return [equal("prepared", prepared, expect["prepared"]), ...batchChecks(batch, expect)];
}

function checkOrpo(
  rows: readonly object[],
  config: Config,
  tokenizer: Tokenizer,
  expect: Expect,
): readonly Check[] {
  const wanted = (expect["prepared"] ?? []) as readonly Expect[];
  const isEncoded = wanted[0]?.["chosen_input_ids"] === undefined;
  const maxLength = isEncoded ? (numeric(config, "max_completion_length") ?? 1024) : lengthOf(config);
  const { samples } = encodeCompletions(preferences(rows), {
    tokenizer,
    form: isEncoded ? "encoded" : "separate",
    keepsEmpty: true,
    maxLength,
  });
  return wanted.flatMap((row, i) => {
    const got: Record<string, unknown> = {};
    for (const [side, sequence] of (samples[i]?.sequences ?? []).entries()) {
      const name = side === 0 ? "chosen" : "rejected";
      const { ids, start, target } = sequence;
      got[`${name}_input_ids`] = ids;
      got[`${name}_attention_mask`] = ids.map(() => 1);
      got[`${name}_labels`] = target ?? ids.map((id, j) => (j >= start ? id : -100));
    }
    const keys = Object.keys(row).filter((key) => !key.startsWith("prompt_"));
    return keys.map((key) => equal(`prepared.${key}`, got[key], row[key]));
  });
}
