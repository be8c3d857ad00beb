import { internal } from "../errors.js";
import { at } from "../present.js";
import type { Dim, Shape } from "./dims.js";
import { addDims, axes, broadcast, dimAt, divDims, lengthAt, mulDims, sameShape, subDims } from "./dims.js";
import { opRows } from "./op_rows.js";
import type { BinaryOp, DType, Inputs, OpName, Ops, Table, Tensor } from "./ops.js";

/** Shape and dtype of a primitive's result. */
export interface Type {
  readonly shape: Shape;
  readonly dtype: DType;
}
type ShapeRule<Attrs, Read> = (attrs: Attrs, inputs: Read) => Type;
type Read<K extends OpName> = Inputs<Tensor>[K];

const same: ShapeRule<unknown, readonly [Tensor, ...Tensor[]]> = (_, [x]) => ({
  shape: x.shape,
  dtype: x.dtype,
});
const arithmetic: ShapeRule<unknown, Read<BinaryOp>> = (_, [x, y]) => {
  if (x.dtype !== y.dtype) internal(`operands are ${x.dtype} and ${y.dtype}`);
  return { shape: broadcast(x.shape, y.shape), dtype: x.dtype };
};
const comparison: ShapeRule<unknown, Read<BinaryOp>> = (_, [x, y]) => ({
  shape: broadcast(x.shape, y.shape),
  dtype: "bool",
});
const reduction: ShapeRule<Ops["sum"], Read<"sum">> = ({ axes, keepDims }, [x]) => ({
  shape: keepDims
    ? x.shape.map((d, i) => (axes.includes(i) ? 1 : d))
    : x.shape.filter((_, i) => !axes.includes(i)),
  dtype: x.dtype,
});
function withAxis(shape: Shape, axis: number, dim: Dim): Dim[] {
  return shape.map((d, i) => (i === axis ? dim : d));
}
function expectEqual(what: string, a: Dim | undefined, b: Dim | undefined): void {
  if (a !== b) internal(`${what}: ${a} is not ${b}`);
}

/** The lengths of a matrix, or of each in a batch, as it is or turned. */
function lastTwo({ shape }: Tensor, turned: boolean): [Dim, Dim] {
  const [rows, columns] = [dimAt(shape, -2), dimAt(shape, -1)];
  return turned ? [columns, rows] : [rows, columns];
}

function matmul({ transA, transB }: Ops["matmul"], [a, b]: Read<"matmul">): Type {
  const [m, k1] = lastTwo(a, transA);
  const [k2, n] = lastTwo(b, transB);
  expectEqual(`matmul of [${a.shape}] and [${b.shape}]`, k1, k2);
  return { shape: [...broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n], dtype: "f32" };
}

function linear({ transposed }: Ops["linear"], [x, w]: Read<"linear">): Type {
  const [out, inner] = lastTwo(w, transposed);
  expectEqual(
    `linear of [${x.shape}] with ${transposed ? "transposed " : ""}[${w.shape}]`,
    x.shape.at(-1),
    inner,
  );
  return { shape: [...x.shape.slice(0, -1), out], dtype: "f32" };
}

function expertLinear({ transposed }: Ops["expertLinear"], [x, starts, w]: Read<"expertLinear">): Type {
  const [out, inner] = lastTwo(w, transposed);
  expectEqual(`expertLinear of [${x.shape}] with [${w.shape}]`, x.shape[1], inner);
  expectEqual("expertLinear's experts", starts.shape[0], addDims(dimAt(w.shape, 0), 1));
  return { shape: [dimAt(x.shape, 0), out], dtype: "f32" };
}

function conv({ stride, padding, dilation, groups }: Ops["conv"], [x, w]: Read<"conv">): Type {
  const [batch, channels, ...sizes] = x.shape;
  const [out, own, ...kernel] = w.shape;
  if (batch === undefined || out === undefined || own === undefined || sizes.length !== kernel.length)
    internal(`conv of [${x.shape}] with [${w.shape}]`);
  expectEqual(`conv of [${x.shape}] with [${w.shape}] in ${groups} groups`, channels, mulDims(own, groups));
  const places = sizes.map((size, i) => {
    const reach = mulDims(addDims(at(kernel, i), -1), at(dilation, i));
    const room = addDims(size, 2 * at(padding, i) - 1, mulDims(reach, -1));
    return addDims(divDims(room, at(stride, i)), 1);
  });
  return { shape: [batch, out, ...places], dtype: "f32" };
}

function aux({ index }: Ops["aux"], [node]: Read<"aux">): Type {
  const further = opRows[node.op].further[index - 1];
  if (further === "row") return { shape: [...at(node.inputs, 0).shape.slice(0, -1), 1], dtype: "f32" };
  if (further !== undefined) return { shape: at(node.inputs, further).shape, dtype: "f32" };
  return internal(`${node.op} has no result ${index}`);
}

export const shapes: Table<{ [K in OpName]: ShapeRule<Ops[K], Read<K>> }> = {
  input: ({ shape, dtype }) => ({ shape, dtype }),
  weight: ({ shape }) => ({ shape, dtype: "f32" }),
  constant: ({ shape, dtype }) => ({ shape, dtype }),
  size: ({ dtype }) => ({ shape: [], dtype }),
  iota: ({ dim }) => ({ shape: [dim], dtype: "i64" }),
  random: ({ shape }, [key]) => {
    expectEqual("random's rows", key.shape[0], shape[0]);
    return { shape, dtype: "f32" };
  },
  neg: same,
  exp: same,
  log: same,
  sqrt: same,
  abs: same,
  tanh: same,
  sigmoid: same,
  relu: same,
  erf: same,
  sin: same,
  cos: same,
  gelu: same,
  silu: same,
  not: same,
  detach: same,
  cast: ({ to }, [x]) => ({ shape: x.shape, dtype: to }),
  add: arithmetic,
  sub: arithmetic,
  mul: arithmetic,
  div: arithmetic,
  max: arithmetic,
  min: arithmetic,
  pow: arithmetic,
  equal: comparison,
  less: comparison,
  and: comparison,
  or: comparison,
  where: (_, [c, x, y]) => ({
    shape: broadcast(c.shape, broadcast(x.shape, y.shape)),
    dtype: x.dtype,
  }),
  sum: reduction,
  mean: reduction,
  amax: reduction,
  cumsum: same,
  reshape: ({ shape }, [x]) => {
    expectEqual(`reshape of [${x.shape}] to [${shape}]`, mulDims(...x.shape), mulDims(...shape));
    return { shape, dtype: x.dtype };
  },
  transpose: ({ perm }, [x]) => ({ shape: perm.map((i) => dimAt(x.shape, i)), dtype: x.dtype }),
  expand: ({ shape }, [x]) => {
    if (!sameShape(broadcast(x.shape, shape), shape)) internal(`expand of [${x.shape}] to [${shape}]`);
    return { shape, dtype: x.dtype };
  },
  slice: ({ axis, start, end }, [x]) => ({
    shape: withAxis(x.shape, axis, subDims(end, start)),
    dtype: x.dtype,
  }),
  concat: ({ axis }, inputs) => {
    const [first] = inputs;
    for (const x of inputs)
      first.shape.forEach((d, i) => {
        if (i !== axis)
          expectEqual(`concat along ${axis} of [${first.shape}] and [${x.shape}]`, x.shape[i], d);
      });
    const total = addDims(...inputs.map((x) => dimAt(x.shape, axis)));
    return { shape: withAxis(first.shape, axis, total), dtype: first.dtype };
  },
  pad: ({ axis, before, after }, [x]) => ({
    shape: withAxis(x.shape, axis, addDims(before, dimAt(x.shape, axis), after)),
    dtype: x.dtype,
  }),
  gather: ({ axis }, [x, ids]) => ({
    shape: [...x.shape.slice(0, axis), ...ids.shape, ...x.shape.slice(axis + 1)],
    dtype: x.dtype,
  }),
  scatterAdd: ({ axis, size }, [dy, ids]) => ({
    shape: [...dy.shape.slice(0, axis), size, ...dy.shape.slice(axis + ids.shape.length)],
    dtype: dy.dtype,
  }),
  moveRows: (_, [x, index]) => ({ shape: [dimAt(index.shape, 0), dimAt(x.shape, 1)], dtype: x.dtype }),
  gatherLast: (_, [x, ids]) => ({ shape: ids.shape, dtype: x.dtype }),
  scatterLast: ({ size }, [dy]) => ({ shape: [...dy.shape.slice(0, -1), size], dtype: dy.dtype }),
  writeRows: (_, [x, rows]) => {
    const [batch, heads, , dim] = axes(x.shape, 4);
    expectEqual("writeRows' rows", `${rows.shape}`, `${[batch, heads, rows.shape[2], dim]}`);
    return { shape: x.shape, dtype: x.dtype };
  },
  topK: ({ k }, [x]) => ({ shape: [...x.shape.slice(0, -1), k], dtype: "i64" }),
  matmul,
  linear,
  expertLinear,
  expertOuter: (_, [y, x, starts]) => {
    expectEqual("expertOuter's rows", y.shape[0], x.shape[0]);
    const experts = subDims(dimAt(starts.shape, 0), 1);
    return { shape: [experts, dimAt(y.shape, 1), dimAt(x.shape, 1)], dtype: "f32" };
  },
  conv,
  convTranspose: ({ sizes, groups }, [dy, w]) => ({
    shape: [dimAt(dy.shape, 0), mulDims(dimAt(w.shape, 1), groups), ...sizes],
    dtype: "f32",
  }),
  softmax: same,
  logSoftmax: same,
  layerNorm: same,
  rmsNorm: same,
  rotary: (_, [x, cos, sin]) => {
    const [batch, , seq] = x.shape;
    for (const table of [cos, sin])
      expectEqual("rotary's tables", `${table.shape}`, `${[batch, seq, lengthAt(x.shape, -1) / 2]}`);
    return { shape: x.shape, dtype: "f32" };
  },
  crossEntropy: (_, [, , labels]) => ({ shape: labels.shape, dtype: "f32" }),
  attentionBias: ({ queries, causal }, [mask]) => {
    const [batch, keys] = axes(mask.shape, 2);
    return { shape: [batch, 1, causal ? queries : 1, keys], dtype: "f32" };
  },
  attention: ({ queries }, [q, k, v]) => {
    expectEqual("attention's queries", q.shape[2], queries);
    expectEqual("attention's keys and values", `${k.shape}`, `${v.shape}`);
    return { shape: q.shape, dtype: "f32" };
  },
  attentionGradient: same,
  ctc: (_, [emissions, skips, ends, mask]) => {
    const [batch, frames, states] = axes(emissions.shape, 3);
    for (const table of [skips, ends]) expectEqual("ctc's states", `${table.shape}`, `${[batch, states]}`);
    expectEqual("ctc's frames", `${mask.shape}`, `${[batch, frames]}`);
    return { shape: [batch], dtype: "f32" };
  },
  aux,
};
