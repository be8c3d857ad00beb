// Over 400 lines: what a method is, each part with its docstring.

import type { ErrorCode } from "../errors.js";
import type { Shape } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Column, InputSet, ReadColumn } from "../graph/inputs.js";
import type {
  AttentionSite,
  CacheShape,
  ConvSite,
  EmbeddingSite,
  ExpertSite,
  LinearSite,
  Meeting,
  OutputSite,
  Project,
  Slots,
  SublayerSite,
} from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { OptionRow } from "../options.js";
import type { TaskType } from "../task.js";
import type { Words } from "../words.js";

/** A value of adapter_config.json. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What every adapter's config has; names are Python's, in camelCase. */
export interface AdapterConfig {
  readonly peftType: string;
  readonly taskType?: string | undefined;
  readonly baseModelNameOrPath?: string | undefined;
  readonly revision?: string | undefined;
  readonly modulesToSave?: readonly string[] | undefined;
  /** What stands on an embedding stands on the head that is tied to it as well. */
  readonly ensureWeightTying?: boolean | undefined;
}

/** An option of a method: a field of adapter_config.json under Python's name. */
export interface MethodRow extends OptionRow {
  /** What stands in the file where nothing is given, where that is not `byDefault` or null. */
  readonly inFile?: Json;
  /** Python writes it as a float: "0.0". */
  readonly float?: true;
  /**
   * The command line does not have it: said by the model, the task or where an adapter is loaded, or without
   * effect.
   */
  readonly fileOnly?: true;
  /** Of the error for a wrong value. */
  readonly code?: ErrorCode;
}

/** Every option of a method, by its name. */
export type MethodTable = Readonly<Record<string, MethodRow>>;

/** Says a fault; all of a config's are thrown at once. */
export type SayFault = (what: string | Words, why: string | Words, fix: string | Words) => void;

/** A config's values: all options are settled but those of `Open`, which may stay undefined. */
export type ValuesOf<O, Open extends keyof O, PeftType extends string> = {
  readonly [K in keyof O]-?: K extends Open ? O[K] | undefined : Exclude<O[K], undefined>;
} & { readonly peftType: PeftType };

/**
 * A config class. `new` checks options, under their names here or in Python, and fills in defaults. Throws
 * "adapter-config".
 */
export interface ConfigClass<V, O = never> {
  new (options?: O): V;
  readonly prototype: V;
  /** `peft_type` in adapter_config.json. */
  readonly peftType: string;
  readonly options: MethodTable;
  /** Every field of Python's config with its default, by its name in the file. */
  readonly fields: Readonly<Record<string, Json>>;
  /** Fields that Python writes as floats ("0.0"). */
  readonly floats: readonly string[];
  /** `new` for options of unknown provenance: a file, the command line. */
  readonly create: (options: Readonly<Record<string, unknown>>) => V;
}

/** Which layers a method adapts. */
export interface Selection {
  /**
   * A regular expression (full match), exact names or dotted suffixes, "all-linear", or undefined: the
   * default.
   */
  readonly targetModules: string | readonly string[] | undefined;
  readonly excludeModules?: string | readonly string[] | undefined;
  readonly layersToTransform?: number | readonly number[] | undefined;
  readonly layersPattern?: string | readonly string[] | undefined;
}

/** How a new parameter starts. */
export type Initial =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "normal"; readonly std: number; readonly mean?: number }
  /** Orthogonal rows, as torch.nn.init.orthogonal_, times `gain`. */
  | { readonly kind: "orthogonal"; readonly gain: number }
  /** Set by the method's `prepare`, which sees the base's weights. */
  | { readonly kind: "prepared" }
  /** In a way of the method's own. */
  | { readonly kind: "made"; readonly make: (data: Float32Array, random: () => number) => void };

/** A tensor that a method has at a layer, or one that all layers share. */
export interface ParameterSpec {
  /** What follows the layer's path in the file: "lora_A.weight". */
  readonly key: string;
  readonly shape: readonly number[];
  /** How it starts. */
  readonly initial: Initial;
  /**
   * Axes whose length is free (a rank): it is not part of a compiled graph, so adapters that differ in it
   * share one.
   */
  readonly free?: readonly number[];
  /**
   * Never trained: "saved" with the adapter, as floats or whole numbers, or "derived" anew from the config;
   * "counted", "saved counted": derived or saved, and among Python's parameters.
   */
  readonly frozen?: "saved" | "saved i32" | "saved i64" | "saved counted" | "derived" | "counted";
  /** The path of an earlier layer whose parameter of this key it is; the file has it for each layer. */
  readonly of?: string | undefined;
  /** Another key under which the file has it as well. */
  readonly also?: string;
}

/** A layer that a method can stand on. */
export type Site = LinearSite | EmbeddingSite | ConvSite;

/** A place by the names that a config's patterns are about. */
export interface ParameterSite {
  readonly path: string;
  /** Where a config names the layer's weight in place of the layer. */
  readonly parameter?: string;
}

/** What every place gives a method that stands there, while it is traced. */
export interface Place {
  readonly g: Graph;
  /** A parameter of this place by its key. */
  readonly p: (key: string) => Tensor;
  /** A parameter that all layers share. */
  readonly shared: (key: string) => Tensor;
  /**
   * `scale()` times whether the adapter is on: a scalar, or [batch, 1, 1] where rows have adapters of their
   * own.
   */
  readonly scale: Tensor;
  /** Whether the adapter is on, 1 or 0: a scalar, or [batch, 1, 1]. */
  readonly gate: Tensor;
  /** Drops elements of what this place computes on, in training mode. */
  readonly dropout: (x: Tensor, p: number) => Tensor;
  /** Whether what is written trains: dropout is on. */
  readonly isTraining: boolean;
  /**
   * Numbers in [0, 1) that are drawn once per pass, for all samples alike; undefined in evaluation. `name`
   * tells one draw of a place from another.
   */
  readonly draw: (name: string, shape: readonly number[]) => Tensor | undefined;
  /** Standard normal numbers of x's shape, new ones in every step; undefined in evaluation. */
  readonly normal: (x: Tensor) => Tensor | undefined;
  /** The same, drawn for each row of the batch: shape [batch, ...]. */
  readonly drawRows: (name: string, shape: Shape) => Tensor | undefined;
  /** What the method itself reads of a batch, by the name that it has for it (`Method.inputs`). */
  readonly input: (name: string) => Tensor;
}

/** A place that computes something without the adapter as well. */
export interface Below {
  /** The place below this adapter: the base's, or another adapter's. */
  readonly next: (x: Tensor) => Tensor;
}

/** What a layer adds. `next` includes the bias. */
export interface LayerPlace extends Place, Below {
  /** The base's whole weight. */
  readonly weight: () => Tensor;
  /** The bias as it is in this adapter; undefined: none. */
  readonly bias: () => Tensor | undefined;
}

/** What a method that shares tensors asks. */
export interface AllPlaces<S> {
  /** Every place where the adapter stands, in the model's order. Default: this one. */
  readonly all?: readonly S[];
}

/** What a stack of experts gives; x is one row for each choice of a token. */
export interface ExpertPlace extends Place, Below {
  readonly slots: Slots;
}

/** One adapted layer while it is traced. */
export interface Adapted<S extends Site> extends LayerPlace, AllPlaces<Site> {
  readonly site: S;
}

/** What a merge reads of any layer. */
export interface MergingPlace extends Pick<Place, "g" | "p" | "shared" | "scale"> {
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
}

/** What a merge reads. */
export interface Merging<S extends Site> extends MergingPlace, AllPlaces<Site> {
  readonly site: S;
}

/**
 * What a method does at one kind of place: `site` names it, `At` is what it gives, and `x` is what goes in
 * there.
 */
export interface PlaceMethod<C, S, At, All = S> {
  readonly parameters: (c: C, site: S, all?: AllPlaces<All>["all"]) => readonly ParameterSpec[];
  readonly forward: (a: At & { readonly site: S } & AllPlaces<All>, x: Tensor, c: C) => Tensor;
  readonly scale?: (c: C, site: S) => number;
  /** What differs in the graph between two configs beyond parameters: part of a compiled graph's key. */
  readonly structure?: (c: C, site: S) => string;
}

/** What a method does at one kind of layer. `x` is the layer's input: activations, or token ids. */
export interface SiteMethod<C, S extends Site> extends PlaceMethod<C, S, LayerPlace, Site> {
  /** Shared tensors that the file holds for each layer as well. */
  readonly sharedCopies?: readonly string[];
  /** The weight (and bias) that does without the adapter what the layer did with it. */
  readonly merge?: (m: Merging<S>, c: C) => Merged;
  /** Whether a config's adapters merge at all, at this place. Default: they do. */
  readonly merges?: (c: C, site: S) => boolean;
  /** It changes biases alone: a layer without one cannot be merged into. */
  readonly mergesInto?: "bias";
  /** Starting values that depend on the base's weight; may return a new base weight (the residual). */
  readonly prepare?: (
    c: C,
    site: S,
    weight: Float32Array,
    random: () => number,
    layer: BaseLayer,
  ) => Prepared | undefined;
}

/** What a start reads of a layer beside its weight. */
export interface BaseLayer {
  readonly bias: Float32Array | undefined;
  /** The first values of a parameter that starts by its spec. */
  readonly p: (key: string) => Float32Array;
}

/** What a method does at a stack of experts. */
export interface ExpertMethod<C> extends PlaceMethod<C, ExpertSite, ExpertPlace> {
  readonly merge?: (m: MergingPlace & { readonly site: ExpertSite }, c: C) => Merged;
}

/** What a layer's weight and bias become by a merge. */
export interface Merged {
  readonly weight: Tensor;
  readonly bias?: Tensor;
}

/** What is made of a layer's own weight before training. */
export interface Prepared {
  readonly parameters: Readonly<Record<string, Float32Array>>;
  readonly weight?: Float32Array;
}

/** A tensor of an adapter: its layer's path, and the parameter's key after a dot. */
export interface NamedTensor {
  readonly key: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A trained tensor and its gradient (of the mean loss) in the last step. */
export interface Graded extends NamedTensor {
  readonly gradient: Float32Array;
}

/** Decides after each step which parts of an adapter stay. */
export interface Allocator {
  /**
   * Says how many steps will be taken, where the config does not. Returns how many. Throws "adapter-config"
   * for too few.
   */
  plan(totalSteps: number): number;
  /**
   * After the optimizer's step number `step` (from 1): sets what goes to zero, in place. Throws
   * "adapter-config" without a plan.
   */
  update(step: number, tensors: readonly Graded[]): void;
  /** What stays: `rank_pattern` of Python's config; undefined: all. */
  readonly pattern: ReadonlyMap<string, readonly boolean[]> | undefined;
  /** All that it remembers, to be saved and written over in place when a run goes on. */
  state(): readonly { readonly name: string; readonly data: Float32Array }[];
  /** A tensor without what went to zero, as it is saved. */
  shrink(tensor: NamedTensor): NamedTensor;
}

/** Ways to make one adapter of several, by their names in Python. */
export type CombinationType =
  | "svd"
  | "linear"
  | "cat"
  | `${"ties" | "dare_ties" | "dare_linear" | "magnitude_prune"}${"" | "_svd"}`;

/** How adapters are mixed. */
export interface MixOptions {
  /** How. "cat" and "svd" are exact (svd up to its rank); "linear" is a rough approximation. */
  readonly combinationType: CombinationType;
  /** Rank of what "svd" and the like make. Default: the largest of the adapters' ranks. */
  readonly svdRank?: number | undefined;
  /** Quantile that bounds what "svd" and the like make. Default: none. */
  readonly svdClamp?: number | undefined;
  /** Share of numbers that stay ("ties", "dare", "magnitude_prune"). */
  readonly density?: number | undefined;
  /** How "ties" finds the sign that most have: by the sum, or by counting. Default "total". */
  readonly majoritySignMethod?: "total" | "frequency" | undefined;
  /** Of "dare", which drops at random. Default 0. */
  readonly seed?: number | undefined;
}

/** An adapter in a mixture. */
export interface MixedConfig<C> {
  readonly config: C;
  /** As they were settled when it met its model. */
  readonly targetModules: string | readonly string[];
}

/** What an adapter has at one layer. */
export interface MixPart {
  readonly weight: number;
  readonly scale: number;
  /** By the parameters' keys. */
  readonly tensors: ReadonlyMap<string, NamedTensor>;
}

/** How several adapters of a method become one. */
export interface Mixing<C> {
  /** Throws "adapter-config" where they cannot be mixed so. */
  readonly config: (all: readonly MixedConfig<C>[], options: MixOptions) => C;
  /** The mixture's parameters at a layer of rank r. */
  readonly site: (
    parts: readonly MixPart[],
    r: number,
    options: MixOptions,
  ) => Readonly<Record<string, Float32Array>>;
}

/** What is kept of a matrix: so many of its singular values, or as many as have a share of their squares. */
export type Kept = { readonly rank: number } | { readonly energy: number };

/** A change of a layer's weight as the layer stores it: [out, in], or [in, out] where `transposed`. */
export interface Change {
  readonly weight: Float32Array;
  readonly inDim: number;
  readonly outDim: number;
  readonly transposed: boolean;
}

/** A change D as a method's parameters at a layer, and what of it is lost. */
export interface Approximated {
  /** By the parameters' keys. */
  readonly parameters: Readonly<Record<string, Float32Array>>;
  readonly rank: number;
  /** ||D||^2 */
  readonly energy: number;
  /** What is missing of it. */
  readonly lost: number;
}

/** How a method stands for any other that changes layers by matrices. */
export interface Approximation {
  readonly site: (change: Change, kept: Kept, kind: "linear" | "embedding") => Approximated;
  /** The options of its config that say ranks; `ranks`: by the layers' paths. */
  readonly options: (kept: Kept, ranks: ReadonlyMap<string, number>) => Readonly<Record<string, unknown>>;
}

/** A method that stands on layers of the model. */
export interface LayerMethod<C> {
  /** Which layers the config names. */
  readonly select: (c: C) => Selection;
  /** Names of default targets, out of the model's own lists of roles. */
  readonly defaults: (roles: LayerLists) => readonly string[] | undefined;
  /** Methods that divide their targets fill in the rest of their config from the model's lists. */
  readonly resolve?: (c: C, roles: LayerLists, allLinear: () => readonly string[]) => C;
  /** What it does at linear layers; absent: it adapts none. */
  readonly linear?: SiteMethod<C, LinearSite>;
  /** The selection is of norms instead, which train whole: what follows their path in the file. */
  readonly copies?: string;
  /** Parameters that all adapted layers share; in the file they stand under their keys alone. */
  readonly shared?: (
    c: C,
    sites: readonly LinearSite[],
    embeddings?: readonly EmbeddingSite[],
  ) => readonly ParameterSpec[];
  readonly embedding?: SiteMethod<C, EmbeddingSite>;
  /** What it does at convolutions; absent: it adapts none. */
  readonly conv?: SiteMethod<C, ConvSite>;
  /** Parameters that the config names by themselves: ends of their names. They need `stack`. */
  readonly parameters?: (c: C) => readonly string[];
  /** What it does at stacks of experts. */
  readonly stack?: ExpertMethod<C>;
  /**
   * Which of the base's biases train too: "none", "all", or those of adapted layers ("lora_only" and the
   * like).
   */
  readonly bias?: (c: C) => "none" | "all" | `${string}_only`;
  /** What it adds to a mean loss, a scalar; `layers`: the parameters of each adapted layer by their keys. */
  readonly penalty?: (g: Graph, layers: readonly ((key: string) => Tensor)[], c: C) => Tensor;
  /**
   * An adapter can be swapped for one whose `ranks` (options that say ranks and scales) differ, on the same
   * compiled programs, where the options `same` are the same. Absent: it cannot.
   */
  readonly swaps?: { readonly ranks: readonly string[]; readonly same: readonly string[] };
  /** How it stands for other methods' adapters; absent: it does not. */
  readonly approximation?: Approximation;
  /** How several of its adapters become one; absent: they do not. */
  readonly mixing?: Mixing<C>;
  /**
   * Moves trained tensors, in place, to where they may be, before each pass that trains them: to where what
   * it computes takes them to be anyway.
   */
  readonly constrain?: (c: C, tensors: readonly NamedTensor[]) => void;
  /** Takes ranks away while it trains. */
  readonly allocator?: (c: C, tensors: readonly NamedTensor[]) => Allocator;
  /**
   * Rows of embeddings and heads that train: module name (or undefined: the input embedding) -> token ids.
   */
  readonly tokens?: (c: C) => ReadonlyMap<string | undefined, readonly number[]> | undefined;
  /**
   * How such rows are saved: what follows the module's path, and whether modules that are tied to it have a
   * copy each. Default: as LoRA has it.
   */
  readonly tokensSaved?: { readonly key: string; readonly copies: boolean };
}

/** The model's layer lists, as its file states them. */
export interface LayerLists {
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  readonly targets: readonly string[] | undefined;
  readonly norms?: readonly string[] | undefined;
  readonly scaled?:
    | { readonly targets: readonly string[]; readonly feedforward: readonly string[] }
    | undefined;
}

/** What an attention gives. */
export interface AttentionPlace extends Place {
  readonly project: Project;
}

/**
 * Methods that add to what attention gives, in its upper layers: forward of its queries, [batch, heads,
 * queries, headDim].
 */
export interface AttentionMethod<C> extends PlaceMethod<C, AttentionSite, AttentionPlace> {
  /** Name of the attention modules; undefined: the model's. */
  readonly module: (c: C) => string | undefined;
  /** How many layers, from the top. */
  readonly layers: (c: C) => number;
}

/**
 * What the place gives where a sublayer's result meets its residual. `next` is what the model does with that
 * result.
 */
export interface SublayerPlace extends Place, Below, Meeting {}

/**
 * Methods that change the result of sublayers (attention, feed-forward) before the model adds the residual:
 * forward of that result.
 */
export interface SublayerMethod<C> extends PlaceMethod<C, SublayerSite, SublayerPlace> {
  /** On which of the sublayers that the model names it stands. */
  readonly select: (c: C, site: SublayerSite) => boolean;
  /** Parameters that all of its sublayers share; in the file they stand under their keys alone. */
  readonly shared?: (c: C, sites: readonly SublayerSite[]) => readonly ParameterSpec[];
}

/**
 * Methods that change the results of modules: forward of the result; `next` is what adapters below make of
 * it.
 */
export interface OutputMethod<C> extends PlaceMethod<C, OutputSite, Place & Below> {
  /** On which of the modules that the model names it stands. */
  readonly select: (c: C, site: OutputSite) => boolean;
}

/** Sizes that a prompt's encoder needs of the model. */
export interface PromptShape {
  readonly hidden: number;
  readonly heads: number;
  readonly layers: number;
  /** 2 for encoder-decoders. */
  readonly submodules: number;
  readonly cache: CacheShape;
}

/** Labels of a prompt and of what follows it. */
export interface PromptLabels {
  /** Those that do not count are -100. */
  readonly labels: Column;
  readonly weights: Column;
}

/** What a prompt's place gives a method that makes it for each row. */
export type PromptPlace = Pick<Place, "g" | "p" | "input">;

/**
 * Methods that add virtual tokens: as rows before the embeddings, or as a cache of keys and values that is
 * already filled.
 */
export interface PromptMethod<C> {
  readonly place: "input" | "cache";
  readonly tokens: (c: C) => number;
  /**
   * How many stand before a decoder's input as well, in an encoder-decoder's passes over whole sequences;
   * their rows follow those of `tokens`. Default: none.
   */
  readonly decoderTokens?: (c: C) => number;
  /** Fills in what Python's config records of the model (token_dim, num_layers, ...). */
  readonly resolve: (c: C, shape: PromptShape) => C;
  /** The encoder's own parameters; keys as in Python's `prompt_encoder`. */
  readonly parameters: (c: C) => readonly ParameterSpec[];
  /**
   * [rows, dim]: what Python saves as prompt_embeddings. `dropout` is given in training mode; its mask is one
   * for the whole batch, where Python draws one per sample.
   */
  readonly encode: (
    g: Graph,
    p: (key: string) => Tensor,
    c: C,
    dropout?: (x: Tensor, p: number) => Tensor,
  ) => Tensor;
  /**
   * What each row of a batch gets of what `encode` makes: [rows, dim] -> [batch, rows, dim]. Default: all get
   * the same.
   */
  readonly perRow?: (a: PromptPlace, rows: Tensor, c: C) => Tensor;
  /**
   * Labels of all positions, virtual ones included, and the weight of each one's loss, [batch, rows + seq]:
   * of methods that learn labels in their prompt. `column`: what a batch has. Default: the batch's labels.
   */
  readonly labels?: (c: C, column: ReadColumn) => PromptLabels | undefined;
  /** As in `LayerMethod`. */
  readonly constrain?: (c: C, tensors: readonly NamedTensor[]) => void;
  /** Parameters that the file has under their own keys, beside prompt_embeddings. */
  readonly saved?: readonly string[];
  /** Shape of prompt_embeddings. */
  readonly shape: (c: C) => readonly [rows: number, dim: number];
  /**
   * The parameters that prompt_embeddings is, one below the other, where a file of it alone is enough to go
   * on training; undefined: it is not.
   */
  readonly tables: (c: C) => readonly string[] | undefined;
  /**
   * Token ids whose rows of the base's input embedding fill the first table at the start, one per row;
   * undefined: the table starts by its spec. `random` draws 32-bit integers; `tokenize` encodes as the
   * config's tokenizer does, special tokens included.
   */
  readonly initialTokens?: (
    c: C,
    vocabSize: number,
    random: () => number,
    tokenize?: (text: string) => readonly number[],
  ) => readonly number[] | undefined;
  /** The file of tensors that the encoder starts from; undefined: none. */
  readonly source?: (c: C) => string | undefined;
  /** The encoder's parameters by that file's tensors; undefined: they start by their specs. */
  readonly fromSource?: (
    c: C,
    source: ReadonlyMap<string, NamedTensor>,
  ) => Readonly<Record<string, NamedTensor | undefined>>;
  readonly structure?: (c: C) => string;
}

/** Fields of adapter_config.json, by Python's names. */
export interface StoredFields {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

/** A default with its source in words, which follow "from". */
export interface LearningRate {
  readonly value: number;
  readonly from: string;
}

/**
 * One method: one object of plain functions in one file. Shared code asks what it can do, never which one it
 * is.
 */
export interface Method<C extends AdapterConfig = AdapterConfig> {
  /** The name on the command line: "lora". */
  readonly name: string;
  /** Its options: types, checks, fields of adapter_config.json. */
  readonly config: ConfigClass<C>;
  /**
   * Fields of a stored adapter without what only mattered when it was made, and what is to be said of them.
   */
  readonly fromFile?: (fields: Readonly<Record<string, unknown>>) => StoredFields;
  /** The learning rate of a run that says none, and where it comes from. @default 0.001, as PEFT's guides */
  readonly learningRate?: LearningRate;
  /** The library whose form its files have. Default: PEFT's. */
  readonly files?: "adapters";
  /** The tasks that it is for; undefined: all. */
  readonly tasks?: (c: C) => readonly TaskType[] | undefined;
  /**
   * What it reads of a batch beside what the model reads, by the names that it has for it: the batch has it
   * among its `columns`.
   */
  readonly inputs?: (c: C) => InputSet;
  /**
   * Whether it works on whole sequences, [batch, length, width], padding included: what it does to a row is
   * that row's own, or depends on padding. Others see tokens alone.
   */
  readonly wholeRows?: (c: C) => boolean;
  readonly layers?: LayerMethod<C>;
  readonly prompt?: PromptMethod<C>;
  readonly attention?: AttentionMethod<C>;
  readonly sublayers?: SublayerMethod<C>;
  readonly outputs?: OutputMethod<C>;
}
