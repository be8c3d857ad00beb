// Over 400 lines: one table, a draw for each primitive.
import { addDims, type Dim, mulDims, type Shape, subDims } from "../../src/graph/dims.js";
import type { OpName, Table, Tensor } from "../../src/graph/ops.js";
import { type Draw, type Random, type Sample, type Sketch, sketch } from "./sketch.js";

/** Makes a random case in which the primitive occurs. */
export type DrawOf = (random: Random) => Draw;

type Numbers = (s: Sketch) => Sample;
const normal: Numbers = (s) => s.normal;
const nonZero: Numbers = (s) => s.nonZero;
const positive: Numbers = (s) => s.positive;
const distinct: Numbers = (s) => s.distinct;

/** y = op(x) elementwise, any shape, zero tokens among them. */
function one(op: (s: Sketch, x: Tensor) => Tensor, numbers: Numbers = normal): DrawOf {
  return (random) => {
    const s = sketch(random);
    return s.done(op(s, s.f32(s.shape(0, 3), numbers(s))));
  };
}

/**
 * z = op(x, y), either of them broadcast, or both. `whole`: now and then on integers, which have no
 * gradient.
 */
function two(
  op: (s: Sketch, x: Tensor, y: Tensor) => Tensor,
  left: Numbers = normal,
  right: Numbers = left,
  whole = false,
): DrawOf {
  return (random) => {
    const s = sketch(random);
    const shape = s.shape(0, 3);
    const [a, b] = s.random.pick([
      [shape, s.narrowed(shape)],
      [s.narrowed(shape), shape],
      [shape, shape],
      [shape.map((d, i) => (i === 0 ? 1 : d)), shape.map((d, i) => (i === 1 ? 1 : d))],
    ] as const);
    if (whole && random.chance(0.2))
      return s.done(op(s, s.integers(a, -9, 9, "i64"), s.integers(b, 1, 9, "i64")));
    return s.done(op(s, s.f32(a, left(s)), s.f32(b, right(s))));
  };
}

/** y = op(x, axes, keepDims); no axis is empty. */
function reduction(
  op: (s: Sketch, x: Tensor, axes: number[] | undefined, keep: boolean) => Tensor,
  numbers: Numbers = normal,
): DrawOf {
  return (random) => {
    const s = sketch(random, false);
    const shape = s.shape(1, 4);
    const axes = shape.flatMap((_, i) =>
      random.chance(0.5) ? [random.chance(0.5) ? i : i - shape.length] : [],
    );
    const x = s.f32(shape, numbers(s));
    return s.done(op(s, x, random.chance(0.2) ? undefined : axes, random.chance(0.5)));
  };
}

/** y = op(x) over the last axis, which is not empty. */
function rowwise(op: (s: Sketch, x: Tensor, width: number) => Tensor): DrawOf {
  return (random) => {
    const s = sketch(random);
    const width = random.int(1, 5);
    return s.done(op(s, s.f32([...s.shape(0, 2), width]), width));
  };
}

/** A shape of at least one axis, one of its axes, and the same axis as a user may write it. */
function withAxis(s: Sketch): { shape: Dim[]; axis: number; written: number } {
  const shape = s.shape(1, 3);
  const axis = s.random.int(0, shape.length - 1);
  return { shape, axis, written: s.random.chance(0.5) ? axis : axis - shape.length };
}

const isTrue = (s: Sketch, x: Tensor): Tensor => s.g.less(0, x);
/** A bool seen as f32, so that every draw's results are numbers that a gradient could flow from. */
const seen = (s: Sketch, x: Tensor): Tensor => s.g.cast(x, "f32");

const reshape: DrawOf = (random) => {
  const s = sketch(random);
  const shape = s.shape(1, 3);
  const x = s.either([...shape, 6]);
  const rows = mulDims(...shape);
  const target: Shape = random.pick([[rows, 6], [2, 3, rows], [mulDims(rows, 6)], [...shape, 2, 1, 3]]);
  return s.done(s.g.add_("reshape", { shape: target }, [x]));
};

const transpose: DrawOf = (random) => {
  const s = sketch(random);
  const shape = s.shape(1, 4);
  const perm = shape.map((_, i) => i).sort(() => random.uniform(-1, 1));
  return s.done(s.g.add_("transpose", { perm }, [s.either(shape)]));
};

const slice: DrawOf = (random) => {
  const s = sketch(random, false);
  const { shape, axis, written } = withAxis(s);
  const dim = shape[axis]!;
  const size = s.sizeOf(dim);
  const start = random.int(0, size);
  const end = random.pick([dim, subDims(dim, random.int(0, size - start)), random.int(start, size)]);
  return s.done(
    s.g.add_("slice", { axis: written < 0 ? written + shape.length : written, start, end }, [
      s.either(shape),
    ]),
  );
};

const concat: DrawOf = (random) => {
  const s = sketch(random);
  const { shape, axis, written } = withAxis(s);
  const inputs = Array.from({ length: random.int(2, 4) }, () =>
    s.f32(shape.with(axis, random.pick(["batch", "seq", "past", 1, 2]))),
  );
  if (random.chance(0.3)) inputs.push(inputs[0]!); // one input twice
  return s.done(s.g.concat(inputs, written));
};

const pad: DrawOf = (random) => {
  const s = sketch(random);
  const { shape, written } = withAxis(s);
  s.bind("batch");
  const more = (): Dim => random.pick(["past", "batch", 0, 1, 2]);
  s.bind("past");
  return s.done(s.g.pad(s.either(shape), written, more(), addDims(more(), 1)));
};

const gather: DrawOf = (random) => {
  const s = sketch(random);
  const { axis, shape } = withAxis(s);
  const size = random.int(1, 4);
  const x = s.either(shape.with(axis, size));
  return s.done(s.g.gather(x, s.ids(s.shape(0, 2), size), random.chance(0.5) ? axis : axis - shape.length));
};

const scatterAdd: DrawOf = (random) => {
  const s = sketch(random);
  const { axis, shape } = withAxis(s);
  const size = random.pick<Dim>([1, 2, 4, "batch"]);
  s.bind("batch");
  const ids = s.ids(s.shape(0, 2), s.sizeOf(size));
  const dy = s.f32([...shape.slice(0, axis), ...ids.shape, ...shape.slice(axis + 1)]);
  return s.done(s.g.scatterAdd(dy, ids, axis, size));
};

const moveRows: DrawOf = (random) => {
  const s = sketch(random);
  const [from, moved] = [random.int(1, 5), random.int(0, 5)];
  const fill = random.chance(0.5) || moved > from;
  const to = fill ? random.int(1, 6) : Math.max(1, Math.min(moved, from));
  const sources = Array.from({ length: from }, (_, i) => i).sort(() => random.uniform(-1, 1));
  const index = Array.from({ length: to }, (_, i) =>
    i < from && (!fill || random.chance(0.7)) ? sources[i]! : -1,
  );
  const inverse = Array.from({ length: from }, (_, i) => index.indexOf(i));
  const [there, back] = [index, inverse].map((v) => s.g.constant(v, [v.length], "i64")) as [Tensor, Tensor];
  return s.done(s.g.moveRows(s.f32([from, random.int(1, 3)]), there, back, fill));
};

const gatherLast: DrawOf = (random) => {
  const s = sketch(random);
  const size = random.int(1, 4);
  const lead = s.shape(0, 2);
  return s.done(s.g.gatherLast(s.f32([...lead, size]), s.ids([...lead, s.dim()], size)));
};

const scatterLast: DrawOf = (random) => {
  const s = sketch(random);
  const size = random.pick<Dim>([1, 2, 4, "batch"]);
  s.bind("batch");
  const shape = [...s.shape(0, 2), s.dim()];
  return s.done(s.g.scatterLast(s.f32(shape), s.ids(shape, s.sizeOf(size)), size));
};

/** No gradient by design: nothing is watched. */
const writeRows: DrawOf = (random) => {
  const s = sketch(random, false);
  const [heads, dim] = [random.int(1, 3), random.int(1, 3)];
  s.bind("batch", "past", "seq");
  const x = s.f32(["batch", heads, "past+seq", dim]);
  const place = s.integers(["batch"], 0, s.sizeOf("past"), "i64");
  return { ...s.done(s.g.writeRows(x, s.f32(["batch", heads, "seq", dim]), place)), by: [] };
};

const matmul: DrawOf = (random) => {
  const s = sketch(random);
  const [transA, transB] = [random.chance(0.5), random.chance(0.5)];
  const [m, n, k] = [s.dim(), s.dim(), s.dim()];
  const lead = s.shape(0, 2);
  const [leadA, leadB] = random.pick([
    [lead, s.narrowed(lead)],
    [s.narrowed(lead), lead],
    [lead, lead],
    [lead, []],
  ]);
  const a = s.f32([...leadA!, ...(transA ? [k, m] : [m, k])]);
  const b = s.f32([...leadB!, ...(transB ? [n, k] : [k, n])]);
  return s.done(s.g.matmul(a, b, { transA, transB }));
};

const linear: DrawOf = (random) => {
  const s = sketch(random);
  const [inDim, outDim] = [random.int(1, 4), random.int(1, 4)];
  const transposed = random.chance(0.5);
  const shape = transposed ? [inDim, outDim] : [outDim, inDim];
  const x = s.f32([...s.shape(1, 2), inDim]);
  return s.done(s.g.linear(x, random.chance(0.5) ? s.weight(shape) : s.f32(shape), transposed));
};

const topK: DrawOf = (random) => {
  const s = sketch(random, false);
  const lead = s.shape(0, 2);
  const n = random.int(1, 5);
  const x = s.f32([...lead, n], s.distinct);
  const ids = random.chance(0.5)
    ? s.g.topK(x, random.int(1, n))
    : s.g.argsort(random.chance(0.3) ? s.integers([...lead, n], 0, 2, "i64") : x);
  return s.done(s.g.gatherLast(x, ids));
};

/** Where each expert's rows begin, some of them without any. */
function expertStarts(s: Sketch, experts: number, rows: Dim): Tensor {
  const cuts = Array.from({ length: experts - 1 }, () => s.random.int(0, s.sizeOf(rows))).sort(
    (a, b) => a - b,
  );
  return s.g.constant([0, ...cuts, s.sizeOf(rows)], [experts + 1], "i64");
}

const expertLinear: DrawOf = (random) => {
  const s = sketch(random);
  const [experts, inDim, outDim] = [random.int(1, 4), random.int(1, 4), random.int(1, 4)];
  const transposed = random.chance(0.5);
  const rows = random.pick<Dim>(["seq", "2*seq", 5]);
  const shape = [experts, ...(transposed ? [inDim, outDim] : [outDim, inDim])];
  s.bind("seq");
  const x = s.f32([rows, inDim]);
  const w = random.chance(0.5) ? s.weight(shape) : s.f32(shape);
  return s.done(s.g.expertLinear(x, expertStarts(s, experts, rows), w, transposed));
};

const expertOuter: DrawOf = (random) => {
  const s = sketch(random);
  const experts = random.int(1, 4);
  const [y, x] = [random.int(1, 4), random.int(1, 4)].map((width) => s.f32(["seq", width])) as [
    Tensor,
    Tensor,
  ];
  return s.done(s.g.expertOuter(y, x, expertStarts(s, experts, "seq")));
};

/** One axis or two, with whatever stride, padding, dilation and groups; the last stride may not be whole. */
function convolved(random: Random, kind: "conv" | "convTranspose"): Draw {
  const s = sketch(random);
  const rank = random.int(1, 2);
  const each = (low: number, high: number): number[] =>
    Array.from({ length: rank }, () => random.int(low, high));
  const [groups, own, out] = [random.int(1, 3), random.int(1, 2), random.int(1, 2)];
  const [kernel, dilation, padding] = [each(1, 3), each(1, 2), each(0, 2)];
  const how = { stride: each(1, 3), padding, dilation, groups };
  s.bind("seq");
  const sizes = kernel.map((k, i) => addDims("seq", (k - 1) * dilation[i]! + 1 + random.int(0, 2)));
  const shape = [groups * out, own, ...kernel];
  const x = s.f32(["batch", groups * own, ...sizes]);
  const w = random.chance(0.5) ? s.weight(shape) : s.f32(shape);
  const y = s.g.conv(x, w, how);
  if (kind === "conv") return s.done(y);
  const { by, ...draw } = s.done(s.g.convTranspose(s.f32(y.shape), w, how, sizes));
  return { ...draw, by: by.filter((input) => input !== x) };
}

const crossEntropy: DrawOf = (random) => {
  const s = sketch(random);
  const [hidden, vocab] = [random.int(1, 4), random.int(1, 5)];
  const [chunks, chunk] = [s.dim(), s.dim()];
  const x = s.f32([chunks, chunk, hidden]);
  const labels = s.integers([chunks, chunk], -1, vocab - 1, "i64"); // -1: ignored
  const logits = s.g.linear(x, s.frozen([vocab, hidden]));
  return { ...s.done(s.g.crossEntropy(logits, labels, random.pick([0, 0.1, 0.4]))), by: [x] };
};

/** Rows of one or two documents, padded behind, some of it in a cache: every query sees something. */
function attended(random: Random, kind: "attention" | "attentionGradient"): Draw {
  const s = sketch(random, false);
  const kvHeads = random.int(1, 2);
  const [heads, dim] = [kvHeads * random.int(1, 2), random.int(1, 3)];
  const causal = random.chance(0.7);
  const keys = causal ? "past+seq" : "past+1";
  const queries = "seq";
  s.bind("past");
  const q = s.f32(["batch", heads, queries, dim]);
  const [k, v] = [s.f32(["batch", kvHeads, keys, dim]), s.f32(["batch", kvHeads, keys, dim])];
  const padded = random.chance(0.5);
  const length = s.sizeOf(keys);
  const first = random.int(1, length); // tokens of the first document
  const real = padded ? random.int(first, length) : length;
  const mask = s.given(["batch", keys], ([, at = 0]) => (at < first ? 1 : at < real ? 2 : 0));
  const attrs = {
    ...{ queries, causal, window: causal && !padded && random.chance(0.4) ? random.int(1, 3) : undefined },
    ...{ scale: random.pick([1, 0.5]), cap: random.chance(0.3) ? 2 : undefined, chunk: random.int(1, 3) },
  };
  if (kind === "attention") return s.done(s.g.attention(q, k, v, mask, attrs));
  const dq = s.g.add_("attentionGradient", attrs, [q, k, v, mask, s.f32(["batch", heads, queries, dim])]);
  return { ...s.done(dq, s.g.aux(dq, 1), s.g.aux(dq, 2)), by: [] };
}

const attentionBias: DrawOf = (random) => {
  const s = sketch(random, false);
  s.bind("past", "seq");
  const mask = s.integers(["batch", "past+seq"], 0, random.int(1, 3), "i64");
  const window = random.chance(0.4) ? random.int(1, 3) : undefined;
  const bias = s.g.attentionBias(mask, { queries: "seq", causal: random.chance(0.7), window });
  return s.done(s.g.mul(s.f32(bias.shape), s.g.mul(bias, 1e-9)));
};

/** Rows of different lengths, each of which has a path: the one that stays. */
const ctc: DrawOf = (random) => {
  const s = sketch(random, false);
  const states = random.int(1, 5);
  const [skips, ends] = [0, 1].map((first) =>
    s.given(["batch", states], ([, state]) => (state === 0 ? first : random.int(0, 1))),
  ) as [Tensor, Tensor];
  const mask = s.integers(["batch", "seq"], 0, 1, "i64");
  return s.done(s.g.ctc(s.f32(["batch", "seq", states]), skips, ends, mask));
};

/** What may be asked of a compound's further results; no gradient by design, so nothing is watched. */
const aux: DrawOf = (random) => {
  const name = random.pick(["layerNorm", "rmsNorm", "crossEntropy", "ctc"] as const);
  const draw = draws[name](random);
  const y = draw.g.nodes.find((x) => x.op === name)!;
  const index = random.int(1, { layerNorm: 2, rmsNorm: 1, crossEntropy: 5, ctc: 1 }[name]);
  return { ...draw, by: [], outputs: [draw.g.aux(y, index)] };
};

/** One row per primitive: what the gradient rules, the shape rules and the lowering are tried on. */
export const draws: Table<{ [K in OpName]: DrawOf }> = {
  input: one((_, x) => x),
  weight: (random) => {
    const s = sketch(random);
    return s.done(s.weight([random.int(1, 3), random.int(1, 3)]));
  },
  constant: (random) => {
    const s = sketch(random);
    const shape = Array.from({ length: random.int(0, 2) }, () => random.int(1, 3));
    const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, s.normal);
    return s.done(s.g.mul(s.f32(["batch", ...shape]), s.g.constant(values, shape)));
  },
  size: (random) => {
    const s = sketch(random);
    const dim = random.pick<Dim>(["batch", "seq", "seq+1", "batch*seq", "2*batch+seq"]);
    const x = s.f32(["batch", "seq"]);
    if (random.chance(0.5)) return s.done(s.g.mul(x, s.g.size(dim)));
    return s.done(s.g.mul(x, seen(s, s.g.add(s.g.size(dim, "i64"), 1))));
  },
  iota: (random) => {
    const s = sketch(random);
    const dim = s.dim();
    return s.done(s.g.mul(s.f32(["batch", dim]), seen(s, s.g.iota(dim))));
  },
  random: (random) => {
    const s = sketch(random);
    const key = s.integers(["batch"], -(2 ** 31), 2 ** 31 - 1, "i32");
    const shape = ["batch", ...s.shape(0, 2)];
    return s.done(s.g.mul(s.f32(shape), s.g.random(key, random.int(-(2 ** 31), 2 ** 31 - 1), shape)));
  },

  neg: one((s, x) => s.g.neg(x)),
  exp: one((s, x) => s.g.exp(x)),
  log: one((s, x) => s.g.log(x), positive),
  sqrt: one((s, x) => s.g.sqrt(x), positive),
  abs: one((s, x) => s.g.abs(x), nonZero),
  tanh: one((s, x) => s.g.tanh(x)),
  sigmoid: one((s, x) => s.g.sigmoid(x)),
  relu: one((s, x) => s.g.relu(x), nonZero),
  erf: one((s, x) => s.g.erf(x)),
  sin: one((s, x) => s.g.sin(x)),
  cos: one((s, x) => s.g.cos(x)),
  gelu: one((s, x) => s.g.gelu(x, s.random.pick(["none", "tanh"]))),
  silu: one((s, x) => s.g.silu(x)),
  not: one((s, x) => s.g.mul(x, seen(s, s.g.not(isTrue(s, x)))), nonZero),
  cast: one(
    (s, x) => {
      const y = s.random.pick([isTrue(s, x), s.g.cast(s.g.cast(x, "i64"), "i32"), s.g.cast(x, "i64")]);
      return s.g.mul(x, seen(s, y)); // no number is near an integer
    },
    (s) => () => s.random.int(-3, 3) + s.random.uniform(0.1, 0.9),
  ),
  detach: (random) => {
    const s = sketch(random);
    const x = s.f32(s.shape(0, 3));
    return { ...s.done(s.g.detach(x)), by: [] };
  },

  add: two((s, x, y) => s.g.add(x, y), normal, normal, true),
  sub: two((s, x, y) => s.g.sub(x, y), normal, normal, true),
  mul: two((s, x, y) => s.g.mul(x, y), normal, normal, true),
  div: two((s, x, y) => s.g.div(x, y), normal, nonZero, true),
  max: two((s, x, y) => s.g.max(x, y), distinct, distinct, true),
  min: two((s, x, y) => s.g.min(x, y), distinct, distinct, true),
  pow: two(
    (s, x, y) => (s.random.chance(0.3) ? s.g.pow(s.g.mul(x, y), 3) : s.g.pow(x, y)),
    positive,
    nonZero,
  ),
  equal: two((s, x, y) => s.g.mul(x, seen(s, s.g.equal(x, s.g.max(x, y)))), distinct),
  less: two((s, x, y) => s.g.mul(x, seen(s, s.g.less(x, y))), distinct),
  and: two((s, x, y) => s.g.mul(x, seen(s, s.g.and(isTrue(s, x), isTrue(s, y)))), nonZero),
  or: two((s, x, y) => s.g.mul(x, seen(s, s.g.or(isTrue(s, x), isTrue(s, y)))), nonZero),
  where: two((s, x, y) => {
    const condition = s.bool(s.narrowed(s.g.add(x, y).shape));
    return s.random.chance(0.2) ? s.g.where(condition, x, -1.5) : s.g.where(condition, x, y);
  }),

  sum: reduction((s, x, axes, keep) => s.g.sum(x, axes, keep)),
  mean: reduction((s, x, axes, keep) => s.g.mean(x, axes, keep)),
  amax: reduction((s, x, axes, keep) => s.g.amax(x, axes, keep), distinct),
  cumsum: (random) => {
    const s = sketch(random);
    const { shape, written } = withAxis(s);
    return s.done(s.g.cumsum(s.f32(shape), written));
  },

  reshape,
  transpose,
  expand: (random) => {
    const s = sketch(random);
    const shape = s.shape(0, 4);
    s.bind("batch", "seq");
    return s.done(s.g.add_("expand", { shape }, [s.either(s.narrowed(shape))]));
  },
  slice,
  concat,
  pad,

  gather,
  scatterAdd,
  moveRows,
  gatherLast,
  scatterLast,
  writeRows,

  topK,

  matmul,
  linear,
  expertLinear,
  expertOuter,
  conv: (random) => convolved(random, "conv"),
  convTranspose: (random) => convolved(random, "convTranspose"),

  softmax: rowwise((s, x) => s.g.softmax(x)),
  logSoftmax: rowwise((s, x) => s.g.logSoftmax(x)),
  layerNorm: rowwise((s, x, width) => s.g.layerNorm(x, s.f32([width]), s.weight([width]), 1e-2)),
  rmsNorm: rowwise((s, x, width) => s.g.rmsNorm(x, s.weight([width]), 1e-2)),
  rotary: (random) => {
    const s = sketch(random);
    const half = random.int(1, 5);
    const x = s.f32(["batch", random.int(1, 3), "seq", 2 * half]);
    return s.done(s.g.rotary(x, s.f32(["batch", "seq", half]), s.f32(["batch", "seq", half])));
  },
  crossEntropy,
  attentionBias,
  attention: (random) => attended(random, "attention"),
  attentionGradient: (random) => attended(random, "attentionGradient"),
  ctc,
  aux,
};
