import type { RowAdapters, ViewOptions } from "../adapters/views.js";
import type { NamesOf } from "../arguments.js";
import type { ResolveOptions } from "../hub/resolve.js";
import { resolveNames } from "../hub/resolve.js";
import { type PassOptions, passNames } from "../plan/requests.js";
import { type TrainOptions, trainNames } from "./trainable.js";

/** How a new adapter starts. */
export interface AdapterOptions {
  /** Seed of its starting values. @default the base's */
  readonly seed?: number;
  /** Turns a prompt's text into ids, for prompt tuning that starts from a text. */
  readonly tokenizer?: ((text: string) => { inputIds: readonly (readonly number[])[] }) | undefined;
  /** Labels that its head tells apart, where it is for another task than its base: 1 for a ranker. */
  readonly numLabels?: number | undefined;
}

/** Where an adapter comes from, and what becomes of it. */
export interface LoadAdapterOptions extends Omit<ResolveOptions, "files"> {
  /** The name that it gets. @default "default" */
  readonly adapterName?: string;
  /** Whether it will be trained further; what cannot be, is then an error here. @default false */
  readonly isTrainable?: boolean;
  /** Missing and unexpected tensors are errors; false: they are only returned. @default true */
  readonly strict?: boolean;
}

/** Where the adapter comes from that takes another's place. */
export type HotswapOptions = Omit<ResolveOptions, "files">;

/** Which adapters become a part of the base's weights. */
export interface MergeOptions {
  /** Their names. @default the active ones */
  readonly adapterNames?: readonly string[];
  /** Refuse weights that are no numbers, and leave all as it was. @default false; of saveMerged: true */
  readonly safe?: boolean;
}

/** Which adapters are written. */
export interface SaveAdapterOptions {
  /** Their names. @default all */
  readonly selectedAdapters?: readonly string[];
}

/** How a model gets its first adapter. */
export interface PeftModelOptions extends AdapterOptions {
  /** Its name. @default "default" */
  readonly adapterName?: string;
}

const { files: _, ...hubPart } = resolveNames;
export const hubNames: NamesOf<HotswapOptions> = hubPart;
export const adapterNames: NamesOf<AdapterOptions> = {
  seed: {},
  tokenizer: {},
  numLabels: { also: ["num_labels"] },
};
export const loadNames: NamesOf<LoadAdapterOptions> = {
  ...hubNames,
  adapterName: {},
  isTrainable: {},
  strict: {},
};
export const viewNames: NamesOf<ViewOptions> = { adapters: {} };
export const rowNames: NamesOf<PassOptions & RowAdapters> = { ...passNames, ...viewNames, adapterNames: {} };
export const backwardNames: NamesOf<TrainOptions & ViewOptions> = { ...trainNames, adapters: {} };
export const mergeNames: NamesOf<MergeOptions> = { adapterNames: {}, safe: { python: "safe_merge" } };
export const savedNames: NamesOf<SaveAdapterOptions> = { selectedAdapters: { also: ["adapters"] } };
