import type { InputsFor } from "../graph/inputs.js";
import type { CacheShape, KeyValue, Layout, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";

import type { ProblemType, TaskType } from "../task.js";

export type { TaskType };

/** How a text's vector is made of the hidden states of its tokens. */
export interface Pooling {
  /** Their mean, the first one's, or the last one's. */
  readonly tokens: "mean" | "cls" | "last";
  /** Whether vectors have length 1. */
  readonly normalize: boolean;
  /** Tokens that a text has at most. @default as many as model and tokenizer take */
  readonly maxLength?: number | undefined;
}

/** What shared code reads of any parsed config. An architecture's own type extends it. */
export interface ModelConfig {
  readonly modelType: string;
  /** How many tokens there are; 0: it reads and writes none. */
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Number of labels of a classification head. */
  readonly numLabels: number;
  readonly problemType: ProblemType | undefined;
  readonly encoderDecoder: boolean;
  readonly padTokenId: number | undefined;
  readonly decoderStartTokenId: number | undefined;
  /** What a decoder reads of labels starts with the last of them, the language's. @default false */
  readonly startsWithLastLabel?: boolean;
  /** Models of documents: coordinates of boxes are below this. */
  readonly boxPositions?: number | undefined;
  /** Standard deviation of modules that a checkpoint lacks and that are made new. */
  readonly initializerRange: number;
  /**
   * As PEFT counts them for prefixes: in an encoder-decoder the encoder's, where the cache has the decoder's.
   */
  readonly layers: number;
  /**
   * What generation caches, and what a prefix fills: the decoder's self-attention in an encoder-decoder. No
   * layers: nothing.
   */
  readonly cache: CacheShape;
  /**
   * Tokens beyond which the model turns all keys otherwise: where generation passes them it reads everything
   * again. Left out, a cache serves at any length.
   */
  readonly restartAt?: number | undefined;
  /**
   * True where the output head's weight is the embedding's. The loader sets it where the checkpoint says more
   * than the config.
   */
  readonly tied: boolean;
  /**
   * How texts become vectors, where the model's folder or its user says it.
   * @default the mean of the tokens
   */
  readonly pooling?: Pooling | undefined;
  /**
   * Lengths that its inputs' dimensions have by their names, where it takes no others.
   * @example { mels: 80, frames: 3000 }
   */
  readonly lengths?: Readonly<Record<string, number>>;
  /**
   * Lengths that dimensions of its inputs mostly have, where it takes others too: memory is planned by them
   * where nobody says more.
   * @example { height: 224, width: 224 }
   */
  readonly usualLengths?: Readonly<Record<string, number>>;
  /** Inputs of its architecture that it does not read, by what the architecture calls them. @default none */
  readonly unread?: readonly string[];
  /** Pairs of pictures and texts are learnt each by itself, not among those of a batch. @default false */
  readonly pairsApart?: boolean;
  /** How letters are learnt from clips: see losses/ctc.ts. */
  readonly ctc?: {
    /** The losses of rows become their sum, or their mean, each divided by its letters. */
    readonly reduction: "sum" | "mean";
    /** Rows whose letters do not fit into their frames count 0, and not infinitely much. */
    readonly zeroInfinity: boolean;
    /** The label that stands between letters. */
    readonly blank: number;
  };
  /** Frames that so many samples of sound become; 0 or less: they are too few. */
  readonly framesOf?: (samples: number) => number;
  /** Samples from the start of one of those to the next one's. */
  readonly samplesPerFrame?: number;
  /** Positions of an encoder's output, where they do not follow from tokens. */
  readonly encoded?: number;
}

/**
 * Inputs of a stack that reads text. `total` is past + virtual + seq, where virtual tokens (prompt methods)
 * and past (caches and prefixes) may be none. Everything is fed; models compute no lengths of their own.
 */
export interface TextInputs {
  /** [batch, seq], i64 */
  readonly ids: Tensor;
  /** [batch, total], i64: 1 where there is a token, 0 at padding */
  readonly mask: Tensor;
  /** [batch, virtual + seq], i64 */
  readonly positions: Tensor;
  /** [batch, virtual + seq], i64, for models with token types */
  readonly typeIds: Tensor | undefined;
  /** Per layer; undefined: none. */
  readonly past: readonly KeyValue[] | undefined;
}

export interface DecoderInputs extends TextInputs {
  /** [batch, encoderTotal], i64: the encoder's mask */
  readonly encoderMask: Tensor;
  /**
   * Keys and values of the encoder's output for cross-attention layer i: given in generation, else computed
   * there and then by `project`, which is told how the positions of the encoder's output lie.
   */
  readonly cross: (layer: number, project: (of: Layout) => KeyValue) => KeyValue;
}

/** What a stack of blocks gives. */
export interface StackOutput {
  /** [batch, virtual + seq, hidden]; of a stack without a sequence [batch, hidden]. */
  readonly hidden: Tensor;
  /** Keys and values including the past, per layer; none where nothing is cached. */
  readonly present: readonly KeyValue[];
  /** Which of these positions count, [batch, seq] (i64). @default those of the mask that is read */
  readonly mask?: Tensor;
  /** What layers give beside these, layer by layer: a router's logits. */
  readonly beside?: readonly Readonly<Record<string, Tensor>>[];
  /** What the model adds to a mean loss of words: the balance of its experts. */
  readonly penalty?: Tensor | undefined;
}

/** hidden [..., hidden] -> logits [..., n], position by position. */
export type TokenHead<C> = (w: Module, c: C, hidden: Tensor) => Tensor;
/** hidden [batch, total, hidden], mask [batch, total] -> logits [batch, n]. */
export type PooledHead<C> = (w: Module, c: C, hidden: Tensor, mask: Tensor) => Tensor;

/** Heads by what they say. Which of them a model has is a matter of its task. */
export interface Heads<C> {
  /** A score for each word. */
  readonly vocabulary?: TokenHead<C>;
  /** A score for each label of a row. */
  readonly rowLabels?: PooledHead<C>;
  /** A score for each picture with each text of a batch, [rows, rows]. */
  readonly pairs?: PooledHead<C>;
  /** A score for each label of a token. */
  readonly tokenLabels?: TokenHead<C>;
  /** Start and end logits side by side, [..., 2]. */
  readonly spanEnds?: TokenHead<C>;
  /**
   * What the model says of a row beside these, by transformers' names in camelCase: poolerOutput. Read where
   * it is asked for.
   */
  readonly named?: Readonly<Record<string, PooledHead<C>>>;
  /** Returns the hidden states; names what the bare model holds beside its layers (a pooler). */
  readonly hidden?: TokenHead<C>;
}

/**
 * Names in a checkpoint that differ from transformers' current module names: applied on load, reversed on
 * export.
 */
export interface CheckpointRules {
  readonly rename?: readonly (readonly [RegExp, string])[];
  /**
   * Parts of modules' paths that transformers 5 names otherwise than 4 did, and files do: [before, today],
   * `*` for a number, the longer ones first. Come after `rename`; adapters and targets may have either name.
   */
  readonly modules?: readonly (readonly [before: string, today: string])[];
  /**
   * Tensors that are several weights of one shape, one below another: a pattern and what each part has in its
   * place. Comes before `rename`.
   */
  readonly split?: readonly (readonly [RegExp, readonly string[]])[];
  /**
   * Stacks of experts by the parameter's name, of a checkpoint that has a tensor for each expert: what
   * follows `experts.NUMBER.` there, one below the other in the stack.
   */
  readonly experts?: Readonly<Record<string, readonly string[]>>;
}

/** Names of layers that methods take by default where a config names none. */
export interface LayerRoles {
  /** Low-rank methods: the query and value projections, mostly. */
  readonly targets: readonly string[] | undefined;
  /**
   * Layers that experts and their router have in transformers 4, and the parameters that they are in 5: as
   * targets, the names of both mean the same.
   */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
  /** Children of a module in the order in which Python registers them, where it computes them in another. */
  readonly registered?: readonly string[] | undefined;
  /** Adaption prompts: the attention's name. Only where the model names its attention to the trace. */
  readonly attention?: string | undefined;
  /** LN tuning: the norms that train. */
  readonly norms?: readonly string[] | undefined;
  /**
   * IA3: the layers whose activations are scaled, and which of them are feed-forward layers scaled at their
   * input.
   */
  readonly scaled?:
    | { readonly targets: readonly string[]; readonly feedforward: readonly string[] }
    | undefined;
}

/**
 * One architecture: functions that write the model into a graph. One file per architecture; see llama.ts.
 * `X` is what its stack (or encoder) reads. One that reads anything but text declares it: `inputs`.
 */
export type Architecture<C extends ModelConfig = ModelConfig, X = TextInputs> = ArchitectureParts<C, X> &
  (TextInputs extends X ? { readonly inputs?: InputsFor<X> } : { readonly inputs: InputsFor<X> });

/** What an architecture is made of, the inputs it declares apart. */
export interface ArchitectureParts<C extends ModelConfig, X> {
  /** `model_type`s of config.json that this file reads. */
  readonly modelTypes: readonly string[];
  /**
   * Ids that Python's config class has where config.json names none, under their names there: they end
   * generation, and the like.
   */
  readonly defaultTokens?: Readonly<Record<string, number>>;
  /**
   * Where the bare model sits in a model with a head: "model", "bert"; "" where there is no such level (T5).
   * A function where that depends on the task.
   */
  readonly prefix: string | ((task: TaskType) => string);
  readonly roles: LayerRoles;
  /**
   * config.json, in the forms of transformers 4 and 5, field by field. Throws PeftError "checkpoint" for what
   * it cannot do.
   * @param task - what the model is for, where its stack depends on that
   */
  readonly parse: (json: Record<string, unknown>, task?: TaskType) => C;
  readonly checkpoint?: CheckpointRules;
  /** Weight names that are one and the same where `config.tied`: [head, embedding]. */
  readonly tie?: readonly [head: string, embedding: string];
  /**
   * Beside the embedding: modules through which transformers reads it; the embedding itself it does not call.
   */
  readonly embeddingReaders?: readonly string[];
  /**
   * Fields of config.json that hold what `tie_word_embeddings: true` implied, for a model whose head is
   * untied.
   */
  readonly untied?: Readonly<Record<string, boolean>>;
  /** The layers of a model with one stack. `w` is the place of the bare model. */
  readonly stack?: (w: Module, c: C, x: X) => StackOutput;
  /** Encoder-decoders. */
  readonly encoder?: (w: Module, c: C, x: X) => Tensor;
  readonly decoder?: (w: Module, c: C, x: DecoderInputs, encoded: Tensor | undefined) => StackOutput;
  /** Positions are counted from the mask, whatever a batch says: packed documents cannot begin anew. */
  readonly countsMask?: boolean;
  /** It labels pictures, though it reads texts for other tasks. @default its inputs say what it labels */
  readonly labelsPictures?: boolean;
  /** `w` is the root of the model with its head. */
  readonly heads: Heads<C>;
  /** Modules that a checkpoint of the bare model lacks: made new, with `initializerRange`. */
  readonly newModules: readonly string[];
}
