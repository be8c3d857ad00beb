import { internal } from "../errors.js";
import type { Dim } from "../graph/dims.js";
import { dimAt, subDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertAttention, BertConfig } from "./bert.js";
import { addAndNorm, bert, bertStackOf } from "./bert.js";
import type { Architecture, TaskType, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, windowBias, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { positionsAfterPadding } from "./parts/positions.js";
import { readRoberta, robertaHeads } from "./roberta.js";

interface LongformerConfig extends BertConfig {
  /** How many tokens each layer sees to each side. */
  readonly reaches: readonly number[];
  /** Tokens that see all others, and are seen by them: by the task, as transformers chooses them. */
  readonly globals: "first" | "question" | "none";
  /** Ends the question. */
  readonly sepTokenId: number;
}

function read(f: Fields, task: TaskType | undefined): LongformerConfig {
  const c = readRoberta(f);
  const isList = Array.isArray(f.json["attention_window"]);
  const windows = isList
    ? f.numbers("attention_window")
    : new Array<number>(c.layers).fill(f.count("attention_window", 512));
  const reaches = windows.map((window) => window / 2);
  if (reaches.length !== c.layers || !reaches.every((reach) => Number.isInteger(reach) && reach > 0))
    f.fault(`"attention_window" is not ${c.layers} even numbers above 0, or one`);
  return {
    ...c,
    reaches,
    globals: task === "SEQ_CLS" ? "first" : task === "QUESTION_ANS" ? "question" : "none",
    sepTokenId: f.id("sep_token_id") ?? 2,
  };
}

/** What is added to scores: `near${reach}` within a window, `own` without the past; and `isGlobal`. */
type Shared = Record<string, Tensor>;

/** Which of the sequence's own tokens see all, [batch or 1, length], 1 or 0. */
function globals(g: Graph, c: LongformerConfig, x: TextInputs, length: Dim): Tensor {
  if (c.globals === "first")
    return g.cast(g.unsqueeze(g.equal(g.iota(length), g.scalar(0, "i64")), 0), "f32");
  const ends = g.cast(g.equal(x.ids, g.scalar(c.sepTokenId, "i64")), "f32");
  const isQuestion = g.cast(g.equal(g.cumsum(ends, 1), 0), "f32"); // [batch, seq]
  return g.pad(isQuestion, 1, subDims(length, dimAt(x.ids.shape, 1)), 0);
}

function share(w: Module, c: LongformerConfig, x: TextInputs): Shared {
  const { g } = w;
  const [length, total] = [dimAt(x.positions.shape, 1), dimAt(x.mask.shape, 1)];
  const near = (reach: number): Tensor => windowBias(g, x.mask, length, reach);
  const named = (bias: (reach: number) => Tensor): Shared =>
    Object.fromEntries([...new Set(c.reaches)].map((reach) => [`near${reach}`, bias(reach)]));
  const own = g.slice(x.mask, 1, subDims(total, length), total);
  const isReal = g.unsqueeze(g.cast(g.less(0, own), "f32"), -1); // [batch, length, 1]
  if (c.globals === "none") return { ...named(near), isReal };
  const isGlobal = globals(g, c, x, length);
  const keys = g.pad(isGlobal, 1, subDims(total, length), 0);
  const isSeen = g.and(g.less(0, keys), g.less(0, x.mask)); // [batch, keys]
  const isSeenByAll = g.unsqueeze(g.unsqueeze(isSeen, 1), 1);
  return {
    ...named((reach) => g.where(isSeenByAll, g.scalar(0), near(reach))),
    own: paddingBias(g, own),
    isGlobal,
    isReal,
  };
}

const attention: BertAttention<LongformerConfig, Shared> = (w, c, x, s, past, i) => {
  const at = w.at("self");
  const project = (name: string): Tensor =>
    splitHeads(at, at.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("query");
  const present = withPast(w.g, { k: project("key"), v: project("value") }, past);
  const options = { scale: c.headDim ** -0.5, dropout: c.attentionDropout };
  const bias = s[`near${c.reaches[i]}`] ?? internal("a layer of Longformer without its window");
  const near = attend(at.padded, q, present, { ...options, bias });
  const all = { k: project("key_global"), v: project("value_global") };
  const isReal = s["isReal"] ?? internal("a layer of Longformer without its mask");
  const seen = withGlobals(at, c, x, s, near, (q, bias) => attend(at.padded, q, all, { ...options, bias }));
  const mixed = at.pack(w.g.mul(seen, isReal)); // padding sees nothing, which losses over padding show
  return { x: addAndNorm(w.at("output"), "attention", c, at.output(mixed), x), present };
};

/**
 * `near` [batch, length, hidden] with the results of global tokens in their place.
 * @param see - queries [batch, heads, n, headDim], what is added to their scores -> [batch, n, hidden]
 */
function withGlobals(
  w: Module,
  c: LongformerConfig,
  x: Tensor,
  { own, isGlobal }: Shared,
  near: Tensor,
  see: (q: Tensor, bias: Tensor) => Tensor,
): Tensor {
  const { g } = w;
  const whole = w.unpack(x);
  const rows = c.globals === "first" ? g.slice(whole, 1, 0, 1) : whole;
  const q = splitHeads(w.padded, w.padded.linear("query_global", rows, c.hiddenSize), c.heads, c.headDim);
  if (own === undefined || isGlobal === undefined) return near; // named all the same
  const far = see(q, own);
  if (c.globals === "first") return g.concat([far, g.slice(near, 1, 1, dimAt(near.shape, 1))], 1);
  return g.where(g.unsqueeze(g.less(0, isGlobal), -1), far, near);
}

const stack = bertStackOf(share, attention);

/** RoBERTa with windows, and tokens that see all. Reference: transformers/models/longformer */
export const longformer: Architecture<LongformerConfig> = {
  ...bert,
  modelTypes: ["longformer"],
  defaultTokens: { pad_token_id: 1, bos_token_id: 0, eos_token_id: 2 },
  prefix: "longformer",
  roles: { targets: undefined },
  parse: (json, task) => readConfig(json, (f) => read(f, task)),
  stack: (w, c, x) => stack(w, c, { ...x, positions: positionsAfterPadding(w.g, c.firstPosition, x) }),
  heads: robertaHeads,
};
