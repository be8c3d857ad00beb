import { lengthAt } from "./dims.js";
import type { Graph } from "./graph.js";
import type { Convolves, Tensor } from "./ops.js";

/** A linear layer as a model names it. Paths are transformers' current module names. */
export interface LinearSite {
  readonly path: string;
  readonly inDim: number;
  readonly outDim: number;
  /** Name of the weight: `${path}.weight`, or another module's where it is tied. */
  readonly weight: string;
  /** Name of the bias [outDim], if there is one. */
  readonly bias: string | undefined;
  /** The weight is stored [in, out], as GPT-2's Conv1D. */
  readonly transposed: boolean;
  /**
   * The weight is a parameter of a module that Python has no linear layer in (a router): methods stand there
   * only where it is named as a parameter, and it stays in the type that it is stored in.
   */
  readonly isBare?: boolean;
  /** The weight's name, where a method was told to stand on that. */
  readonly parameter?: string;
}

/**
 * A convolution as a model names it: its weight is [outChannels, inChannels / groups, ...kernel], over one
 * axis of sound or two of pictures.
 */
export interface ConvSite extends Convolves {
  readonly path: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: readonly number[];
  readonly weight: string;
  readonly bias: string | undefined;
}

/** A stack of experts' matrices as a model names it: a parameter of a module. */
export interface ExpertSite {
  /** Of the parameter, which is the weight's name too: "model.layers.0.mlp.experts.down_proj". */
  readonly path: string;
  readonly experts: number;
  readonly inDim: number;
  readonly outDim: number;
  readonly weight: string;
  /** Each matrix is stored [in, out]. */
  readonly transposed: boolean;
}

/** Tokens' slots, one for each expert that a token chose, sorted by expert. */
export interface Slots {
  /** Where each expert's slots begin, [experts + 1], i64. */
  readonly starts: Tensor;
  /** What each slot has of its token: [tokens, n] -> [slots, n]. */
  readonly of: (x: Tensor) => Tensor;
  /** What each has of its sample: [batch, 1, 1] -> [slots, 1]. Where padding is not left out. */
  readonly ofSample: (x: Tensor) => Tensor;
}

/** An embedding table [vocab, dim] as a model names it. */
export interface EmbeddingSite {
  readonly path: string;
  readonly vocab: number;
  readonly dim: number;
  readonly weight: string;
  /**
   * Where the rows are positions: how many a sequence can take (fewer than rows where the first ones serve
   * padding).
   */
  readonly positions?: number | undefined;
}

/** A tensor that never trains, as a model names it: a table of sines, or one of Python's buffers. */
export interface FrozenSite {
  readonly name: string;
  readonly shape: readonly number[];
  /** Its numbers where the checkpoint has none. */
  readonly initial: () => Float32Array;
  /** Python counts it with the parameters. */
  readonly isParameter: boolean;
  /** As an embedding's. */
  readonly positions?: number | undefined;
}

/** An attention over a sequence's own tokens, as a model names it. */
export interface AttentionSite {
  readonly path: string;
  /** Width of the rows that its keys and values are projected from. */
  readonly hidden: number;
}

/** A module's result, as a model names it. */
export interface OutputSite {
  readonly path: string;
  /** Its last dimension. */
  readonly dim: number;
  /** It is what a stack's layers begin with: embeddings, with positions and all. */
  readonly isEmbedded?: boolean;
}

/** A place where a sublayer's result meets its residual, as a model names it. */
export interface SublayerSite {
  readonly path: string;
  /** What the sublayer does. */
  readonly does: "attention" | "crossAttention" | "feedForward";
  /** Which of the model's layers it is in; a decoder's go on counting after its encoder's. */
  readonly layer: number;
  readonly hidden: number;
  /** The model norms the sum there. */
  readonly isNormed: boolean;
}

/**
 * What is there when a sublayer's result h [batch, seq, hidden] has come: sum(h), normed where the model
 * norms it there.
 */
export interface Meeting {
  /** What the sublayer read, before the norm that some models put in front; it is added again. */
  readonly residual: Tensor;
  /**
   * What the model adds to h: the residual, mostly. Where two sublayers share one residual, it is added after
   * the second.
   */
  readonly sum: (h: Tensor) => Tensor;
  /** The norm behind the sum; undefined: none, as in models that norm what a sublayer reads. */
  readonly norm: ((x: Tensor) => Tensor) | undefined;
}

/**
 * How the positions of a stack's sequences lie where it works position by position: padded, [batch, length,
 * width], or packed, with padding left out, [1, tokens, width]; or as rows that are the same for all samples.
 * Only attention needs to know which.
 */
export interface Layout {
  /** [batch, length, width] -> as positions lie here. */
  readonly pack: (x: Tensor) => Tensor;
  /** Back to [batch, length, width], with any finite numbers at padding. */
  readonly unpack: (x: Tensor) => Tensor;
  /**
   * Zeroes elements in training mode, by the random numbers of a site: the same ones however positions lie.
   */
  readonly dropout: (x: Tensor, p: number, site: string) => Tensor;
  /** Those numbers for the elements of x, uniform in [0, 1); undefined in evaluation. */
  readonly random: (x: Tensor, site: string) => Tensor | undefined;
}

/** Rows [1, length, hidden] -> keys and values of the attention's own projections, without positions. */
export type Project = (rows: Tensor) => KeyValue;

/**
 * What stands between a model's definition and the graph it writes: the plain model emits each layer as it
 * is, an adapted one emits the adapted layer. Models know nothing but this interface.
 */
export interface Trace {
  readonly g: Graph;
  /** A weight used as such: a norm's scale, a bias, a table of positions. */
  parameter(name: string, shape: readonly number[]): Tensor;
  frozen(site: FrozenSite): Tensor;
  /** `layout` here and below: how the positions of x lie. */
  linear(site: LinearSite, x: Tensor, layout: Layout): Tensor;
  /** x [batch, inChannels, ...sizes] -> [batch, outChannels, ...] */
  conv(site: ConvSite, x: Tensor): Tensor;
  embedding(site: EmbeddingSite, ids: Tensor): Tensor;
  /** Products of slots [slots, in] with their experts' matrices -> [slots, out]. */
  experts(site: ExpertSite, x: Tensor, slots: Slots): Tensor;
  /** A module's result, which methods may change. */
  output(path: string, x: Tensor, layout: Layout): Tensor;
  /** What a stack's layers begin with, which methods may change but in a decoder that reads an encoder. */
  embedded(x: Tensor, layout: Layout): Tensor;
  /** The result h of a sublayer meets its residual: where bottleneck adapters stand. */
  sublayer(site: SublayerSite, h: Tensor, meeting: Meeting, layout: Layout): Tensor;
  /**
   * What methods add to the heads' results: of queries q [batch, heads, queries, headDim], in their shape.
   * undefined: nothing.
   */
  attention(site: AttentionSite, q: Tensor, project: Project): Tensor | undefined;
  /**
   * Virtual tokens of prompt methods go before x [batch, seq, hidden] -> [batch, virtual + seq, hidden]: in
   * every stack that embeds tokens, a decoder's too.
   */
  prepend(x: Tensor): Tensor;
  /** The layout of whole sequences, and of what is the same for all samples, [1, ...]. */
  readonly padded: Layout;
  readonly same: Layout;
  /** Whether an attention with this dropout goes in chunks of queries: where sequences are long. */
  inChunks(dropout: number): boolean;
  /** The base model's own dropout; active in training mode only. */
  dropout(path: string, x: Tensor, p: number, layout: Layout): Tensor;
}

/** How a linear layer is written. */
export interface LinearOptions {
  bias?: boolean;
  transposed?: boolean;
  /** Full name of the weight where it is another module's (tied). */
  tied?: string | undefined;
  /** See LinearSite. */
  isBare?: boolean;
}

/** How a convolution is written. */
export interface ConvOptions extends Partial<Convolves> {
  readonly bias?: boolean;
}

/** A place in the module tree, walked like folders: `w.at("self_attn").linear("q_proj", x, hidden)`. */
export class Module {
  readonly trace: Trace;
  readonly path: string;
  readonly layout: Layout;
  constructor(trace: Trace, path = "", layout: Layout = trace.padded) {
    this.trace = trace;
    this.path = path;
    this.layout = layout;
  }

  get g(): Graph {
    return this.trace.g;
  }

  at(path: string | number): Module {
    return path === "" ? this : new Module(this.trace, this.name(`${path}`), this.layout);
  }

  /** This place for tensors whose positions lie otherwise than its stack's. */
  within(layout: Layout): Module {
    return new Module(this.trace, this.path, layout);
  }
  /** This place for whole sequences, as in attention. */
  get padded(): Module {
    return this.within(this.trace.padded);
  }
  /** This place for what is the same for all samples, [1, ...]. */
  get same(): Module {
    return this.within(this.trace.same);
  }

  /** Leaves padding out where this stack does: x [batch, length, width] -> [1, tokens, width]; else x. */
  pack(x: Tensor): Tensor {
    return this.layout.pack(x);
  }
  /** Back to [batch, length, width]. */
  unpack(x: Tensor): Tensor {
    return this.layout.unpack(x);
  }

  /** The full name of something below this place. */
  name(below: string): string {
    if (below === "") return this.path;
    return this.path === "" ? below : `${this.path}.${below}`;
  }

  get(name: string, shape: readonly number[]): Tensor {
    return this.trace.parameter(this.name(name), shape);
  }

  /** A tensor that never trains. */
  frozen(name: string, site: Omit<FrozenSite, "name">): Tensor {
    return this.trace.frozen({ ...site, name: this.name(name) });
  }

  /** x [..., in] -> [..., outDim] */
  linear(name: string, x: Tensor, outDim: number, options: LinearOptions = {}): Tensor {
    const path = this.name(name);
    return this.trace.linear(
      {
        path,
        inDim: lengthAt(x.shape, -1),
        outDim,
        weight: options.tied ?? `${path}.weight`,
        bias: (options.bias ?? true) ? `${path}.bias` : undefined,
        transposed: options.transposed ?? false,
        ...(options.isBare === true && { isBare: true }),
      },
      x,
      this.layout,
    );
  }

  /** Slots x [slots, in] times their experts' matrices, a parameter of this module -> [slots, outDim] */
  experts(name: string, x: Tensor, outDim: number, slots: Slots, transposed = false): Tensor {
    const path = this.name(name);
    const experts = lengthAt(slots.starts.shape, 0) - 1;
    const site = { path, experts, inDim: lengthAt(x.shape, -1), outDim, weight: path, transposed };
    return this.trace.experts(site, x, slots);
  }

  /**
   * x [batch, in, ...sizes] -> [batch, outDim, ...], by a kernel over these axes. Default: stride 1, no
   * padding.
   */
  conv(
    name: string,
    x: Tensor,
    outDim: number,
    kernel: readonly number[],
    options: ConvOptions = {},
  ): Tensor {
    const path = this.name(name);
    const each = (value: number): number[] => kernel.map(() => value);
    const { stride = each(1), padding = each(0), dilation = each(1), groups = 1, bias = true } = options;
    const site: ConvSite = {
      ...{ path, kernel, stride, padding, dilation, groups },
      ...{ outChannels: outDim, inChannels: lengthAt(x.shape, 1) },
      ...{ weight: `${path}.weight`, bias: bias ? `${path}.bias` : undefined },
    };
    return this.trace.conv(site, x);
  }

  /** ids [batch, seq] -> [batch, seq, dim]. `positions`: see EmbeddingSite. */
  embedding(name: string, ids: Tensor, vocab: number, dim: number, positions?: number): Tensor {
    const path = this.name(name);
    return this.trace.embedding({ path, vocab, dim, weight: `${path}.weight`, positions }, ids);
  }

  layerNorm(name: string, x: Tensor, eps: number): Tensor {
    const at = this.at(name);
    const dim = lengthAt(x.shape, -1);
    return at.output(this.g.layerNorm(x, at.get("weight", [dim]), at.get("bias", [dim]), eps));
  }

  rmsNorm(name: string, x: Tensor, eps: number): Tensor {
    const at = this.at(name);
    return at.output(this.g.rmsNorm(x, at.get("weight", [lengthAt(x.shape, -1)]), eps));
  }

  /** Names the output of this module, so that a method can stand there. */
  output(x: Tensor): Tensor {
    return this.trace.output(this.path, x, this.layout);
  }

  /**
   * norm(residual + h), of a sublayer's result h [batch, seq, hidden], dropout included. Names the place:
   * `this` is the module that bottleneck adapters are in, by its name in the library "adapters".
   */
  sublayer(does: SublayerSite["does"], h: Tensor, residual: Tensor, options: Partial<Meeting> = {}): Tensor {
    const { norm, sum = (h) => this.g.add(residual, h) } = options;
    const site = {
      ...{ path: this.path, does, layer: this.g.blocks.length },
      ...{ hidden: lengthAt(h.shape, -1), isNormed: norm !== undefined },
    };
    return this.trace.sublayer(site, h, { residual, sum, norm }, this.layout);
  }

  /** Names the attention of this module: see Trace. */
  attention(hidden: number, q: Tensor, project: Project): Tensor | undefined {
    return this.trace.attention({ path: this.path, hidden }, q, project);
  }

  dropout(name: string, x: Tensor, p: number): Tensor {
    return this.trace.dropout(this.name(name), x, p, this.layout);
  }
}

/** Keys and values of one attention layer: [batch, kvHeads, length, headDim] each. */
export interface KeyValue {
  readonly k: Tensor;
  readonly v: Tensor;
  /**
   * Of a past with room for what follows: where each row's next keys and values go, [batch] (i64). Undefined:
   * it is full, and they are put behind it.
   */
  readonly place?: Tensor;
  /**
   * What it was made of, where that is a past with room and one token more: such a past is not written into,
   * which would copy it. Its room is 0.
   */
  readonly parts?: { readonly past: KeyValue; readonly place: Tensor; readonly now: KeyValue };
}

/** Shape of a cache: what generation and prefixes must fill. */
export interface CacheShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Heads of each layer, where layers differ. */
  readonly each?: readonly Pick<CacheShape, "kvHeads" | "headDim" | "valueDim">[];
  /** Width of values, where it is not that of keys. */
  readonly valueDim?: number;
}
