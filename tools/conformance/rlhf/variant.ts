import type { TaskType } from "../../../src/models/model.js";
import type { PeftModel } from "../../../src/peft/peft_model.js";
import type { StepResult } from "../../../src/peft/trainable.js";
import type { Check, Expected, Numbers } from "../tensors.js";
import { compare, compareToLargest } from "../tensors.js";
import { kitName } from "../training.js";

/** TRL's keys with their values. */
export type Config = Readonly<Record<string, unknown>>;

/** One of a case's variants: its config, and what is expected of it. */
export interface Variant {
  readonly name: string;
  readonly folder: string;
  readonly config: Config;
  /** What case.json says of it beside its config. */
  readonly file: VariantFile;
  /** The case's. */
  readonly reference: string | undefined;
  readonly rows: unknown;
  readonly model: PeftModel;
  readonly expected: Expected;
  readonly json: Readonly<Record<string, unknown>>;
}

export interface VariantFile {
  readonly config: Config;
  readonly batch?: string;
  readonly whole_run?: boolean;
  readonly [key: string]: unknown;
}

export interface CaseFile {
  readonly model: string;
  readonly reference?: string;
  readonly defaults: Config;
  readonly variants: Readonly<Record<string, VariantFile>>;
  readonly [key: string]: unknown;
}

/** A variant ready to be computed. */
export interface Run {
  /** The loss with its gradient, at the adapter as it is. */
  readonly pass: () => Promise<StepResult & { readonly losses?: readonly number[] }>;
  /** What is checked beside. */
  readonly checks?: () => readonly Check[];
  /** Begins anew what lasts over several passes. */
  readonly begin?: () => void;
  /** Intermediate values, by TRL's names. */
  readonly values: () => Promise<Readonly<Record<string, Numbers>>>;
}

/** What a method's cases are computed by, by the first part of their names. */
export interface RlhfMethod {
  /** What its models are for. @default CAUSAL_LM, of t5 SEQ_2_SEQ_LM */
  readonly task?: TaskType;
  readonly prepare: (v: Variant) => Promise<Run>;
  /** The trainer's whole run. */
  readonly train?: (v: Variant) => Promise<readonly Check[]>;
}

/** The adapter's weights against those under a prefix. */
export function checkWeights(model: PeftModel, expected: Expected, prefix: string): readonly Check[] {
  const trained = [...model.activeAdapter.entries.values()].filter(({ frozen }) => !frozen);
  return trained.map((entry) => {
    const key = prefix + kitName(model.activeAdapter, entry.key);
    return compareToLargest("trained", entry, expected.get(key), 1e-4, 1e-6);
  });
}

/** AdamW of the firm steps. */
export const FIRM = { lr: 1e-2, betas: [0.8, 0.95], eps: 1e-3, weightDecay: 0.1 } as const;

/** Absolute or relative, whichever is larger. */
export function number(key: string, got: number, wanted: unknown): Check {
  const tensor = { shape: [], data: Float64Array.of(Number(wanted)), isInteger: false };
  return compare(key, { shape: [], data: [got] }, tensor, 1e-4);
}

/** A value of a config that is a number. */
export function numeric(config: Config, key: string): number | undefined {
  const value = config[key];
  return typeof value === "number" ? value : undefined;
}
