import { internal } from "../errors.js";
import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor, UnaryOp } from "../graph/ops.js";
import { unary, unbroadcast, type Vjp } from "./vjp.js";

// Each line below is one pass over a tensor of [batch, seq, hidden], except where its comment says [..., 1]:
// such a pass is bound by memory, so the formulas are arranged for few passes, and what the forward pass has
// already computed is reused.

/** z = x / sqrt 2; dx = dy (1 + erf z + 2 / sqrt(pi) z exp(-z^2)) / 2 */
function geluErf(g: Graph, dy: Tensor, x: Tensor): Tensor {
  const z = g.mul(x, Math.SQRT1_2);
  const slope = g.mul(g.mul(z, g.exp(g.neg(g.mul(z, z)))), 2 / Math.sqrt(Math.PI));
  return g.mul(dy, g.mul(g.add(g.add(g.erf(z), 1), slope), 0.5));
}

/**
 * (1 + tanh z) / 2 = sigmoid(2z) = s, with 2z = b (x + a x^3): y = x s, so
 * dx = dy (s + x s (1 - s) d2z) = dy (s + (y - y s) b (1 + 3 a x^2))
 */
function geluTanh(g: Graph, dy: Tensor, x: Tensor, y: Tensor): Tensor {
  const a = 0.044715;
  const b = 2 * Math.sqrt(2 / Math.PI);
  const cubic = g.add(g.mul(g.mul(x, x), a * b), b); // b (1 + a x^2)
  const s = g.sigmoid(g.mul(cubic, x));
  const slope = g.sub(g.mul(cubic, 3), 2 * b); // b (1 + 3 a x^2)
  return g.mul(dy, g.add(s, g.mul(g.sub(y, g.mul(y, s)), slope)));
}

export const gelu: Vjp<"gelu"> = (g, y, dy, [x]) => [
  y.attrs.approximate === "none" ? geluErf(g, dy, x) : geluTanh(g, dy, x, y),
];

/** y = x s, s = sigmoid x: dx = dy (s + y - y s) */
export const silu: Vjp<UnaryOp> = unary((g, dy, x, y) => {
  const s = g.sigmoid(x);
  return g.mul(dy, g.add(s, g.sub(y, g.mul(y, s))));
});

/** t = dy y: dx = t - y sum t */
export const softmax: Vjp<UnaryOp> = unary((g, dy, _x, y) => {
  const t = g.mul(dy, y);
  return g.sub(t, g.mul(y, g.sum(t, -1, true)));
});

/** dx = dy - exp(y) sum dy */
export const logSoftmax: Vjp<UnaryOp> = unary((g, dy, _x, y) =>
  g.sub(dy, g.mul(g.exp(y), g.sum(dy, -1, true))),
);

/**
 * v = 1 / deviation, c = x - mean, y = c v scale + bias, d = dy scale:
 * dx = v (d - mean d - c v^2 mean(d c)), dscale = sum dy c v, dbias = sum dy
 */
export const layerNorm: Vjp<"layerNorm"> = (g, y, dy, [x, scale, bias], wants) => {
  const v = g.aux(y, 2); // [..., 1]
  const c = g.sub(x, g.aux(y, 1));
  const byX = (): Tensor => {
    const d = g.mul(dy, scale);
    const slope = g.mul(g.mul(v, g.mul(v, v)), g.mean(g.mul(d, c), -1, true)); // [..., 1]
    const shift = g.mul(v, g.mean(d, -1, true)); // [..., 1]
    return g.sub(g.sub(g.mul(d, v), g.mul(c, slope)), shift);
  };
  return [
    wants[0] ? byX() : undefined,
    wants[1] ? unbroadcast(g, g.mul(dy, g.mul(c, v)), scale.shape) : undefined,
    wants[2] ? unbroadcast(g, dy, bias.shape) : undefined,
  ];
};

/** v = 1 / root mean square, y = x v scale, d = dy scale: dx = v d - x v^3 mean(d x), dscale = sum dy x v */
export const rmsNorm: Vjp<"rmsNorm"> = (g, y, dy, [x, scale], wants) => {
  const v = g.aux(y, 1); // [..., 1]
  const byX = (): Tensor => {
    const d = g.mul(dy, scale);
    const slope = g.mul(g.mul(v, g.mul(v, v)), g.mean(g.mul(d, x), -1, true)); // [..., 1]
    return g.sub(g.mul(d, v), g.mul(x, slope));
  };
  return [
    wants[0] ? byX() : undefined,
    wants[1] ? unbroadcast(g, g.mul(dy, g.mul(x, v)), scale.shape) : undefined,
  ];
};

/** aux 1 = d loss / dx per token: dx = dy[..., None] aux 1. The head W is frozen by construction. */
export const crossEntropy: Vjp<"crossEntropy"> = (g, y, dy, _inputs, wants) => {
  if (wants[1]) internal("crossEntropy's head is frozen: it has no gradient");
  return [g.mul(g.unsqueeze(dy, -1), g.aux(y, 1))];
};

/** aux 1 = d loss / d emissions of a row: dx = dy[:, None, None] aux 1 */
export const ctc: Vjp<"ctc"> = (g, y, dy) => [
  g.mul(g.reshape(dy, [...dy.shape, 1, 1]), g.aux(y, 1)),
  ...[undefined, undefined, undefined],
];

/** One node has all three: scores, computed again, are what they share. */
export const attention: Vjp<"attention"> = (g, y, dy, inputs, wants) => {
  const d = g.add_("attentionGradient", y.attrs, [...inputs, dy]);
  return [wants[0] ? d : undefined, wants[1] ? g.aux(d, 1) : undefined, wants[2] ? g.aux(d, 2) : undefined];
};

/**
 * Turned back: dx = rotary(dy, cos, -sin). The tables' own: sums over heads of dy x, and of dy x turned by a
 * right angle.
 */
export const rotary: Vjp<"rotary"> = (g, _, dy, [x, cos, sin], wants) => {
  const half = lengthAt(x.shape, -1) / 2;
  const halves = (y: Tensor): [Tensor, Tensor] => [g.slice(y, -1, 0, half), g.slice(y, -1, half, 2 * half)];
  const table = (of: (d: [Tensor, Tensor], x: [Tensor, Tensor]) => Tensor): Tensor =>
    g.sum(of(halves(dy), halves(x)), 1);
  return [
    wants[0] ? g.rotary(dy, cos, g.neg(sin)) : undefined,
    wants[1] ? table(([d, e], [a, b]) => g.add(g.mul(d, a), g.mul(e, b))) : undefined,
    wants[2] ? table(([d, e], [a, b]) => g.sub(g.mul(e, a), g.mul(d, b))) : undefined,
  ];
};
