import type { Column, Input, SpecialTokens } from "../../graph/inputs.js";
import { tokenInput } from "../../graph/inputs.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { TextInputs } from "../model.js";
import { textInputs } from "../text_inputs.js";

/** What a model of documents reads. */
export interface BoxedInputs extends TextInputs {
  /** Where each token stands on its page: x0, y0, x1, y1, [batch, virtual + seq, 4], i64. */
  readonly bbox: Tensor;
}

/** Widths of the tables of boxes: those of places, and those of height and width. */
export interface BoxTables {
  readonly boxPositions: number;
  readonly coordinateSize: number;
  readonly shapeSize: number;
}

/** x(x0), y(y0), x(x1), y(y1), h(y1 - y0), w(x1 - x0) of boxes [batch, seq, 4]: [batch, seq, size] each. */
export function embedBoxes(w: Module, c: BoxTables, bbox: Tensor): Tensor[] {
  const { g } = w;
  const side = (i: number): Tensor => g.squeeze(g.slice(bbox, 2, i, i + 1), 2);
  const [x0, y0, x1, y1] = [side(0), side(1), side(2), side(3)];
  const of = (table: string, ids: Tensor, size: number): Tensor =>
    w.embedding(`${table}_position_embeddings`, ids, c.boxPositions, size);
  return [
    of("x", x0, c.coordinateSize),
    of("y", y0, c.coordinateSize),
    of("x", x1, c.coordinateSize),
    of("y", y1, c.coordinateSize),
    of("h", g.sub(y1, y0), c.shapeSize),
    of("w", g.sub(x1, x0), c.shapeSize),
  ];
}

/** Boxes of the picture as a whole and of its patches, in thousandths: [1 + patches, 4]. */
export function patchBoxes([rows, columns]: readonly [number, number]): number[][] {
  const side = (i: number, of: number): number => Math.trunc((1000 * i) / of);
  const boxes = [[1, 1, 999, 999]];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      boxes.push([side(column, columns), side(row, rows), side(column + 1, columns), side(row + 1, rows)]);
  return boxes;
}

/** Boxes beside tokens, in thousandths of the page; where a batch has none, all of them are 0. */
const bboxInput: Input = { ...tokenInput("bbox", "i64", [4], 0), fault: boxFault };

/** Text, with a box for each token. */
export const boxedInputs: { readonly [K in keyof typeof textInputs | "bbox"]: Input } = {
  ...textInputs,
  bbox: bboxInput,
};

/** What is wrong with the boxes of a batch, for tables of so many rows. */
function boxFault(
  { data }: Column,
  { boxPositions = Number.POSITIVE_INFINITY }: SpecialTokens,
): string | undefined {
  const outside = data.find((x) => x < 0 || x >= boxPositions);
  if (outside !== undefined) return `bbox has ${outside}, and boxes lie within 0 to ${boxPositions - 1}`;
  for (let i = 0; i < data.length; i += 4) {
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = data.subarray(i, i + 4);
    if (x1 < x0 || y1 < y0) return `the box [${x0}, ${y0}, ${x1}, ${y1}] ends before it begins`;
  }
  return undefined;
}
