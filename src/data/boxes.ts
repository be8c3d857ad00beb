import { Float, show } from "./tables/values.js";

/** Where something stands on its page: left, top, right, bottom. */
export type Box = readonly [x0: number, y0: number, x1: number, y1: number];

/** A page's size, in the unit of its boxes. */
export interface PageSize {
  readonly width: number;
  readonly height: number;
}

/** Boxes of models are in thousandths of the page. */
export const BOX_UNITS = 1000;

/**
 * A box in thousandths of the page: trunc(1000 x / width) where the page's size is known; without it the box
 * is in thousandths already. Words say what is wrong with it.
 */
export function readBox(value: unknown, page: PageSize | undefined): Box | string {
  const sides = Array.isArray(value) ? value.map(asNumber) : [];
  const [x0, y0, x1, y1] = sides;
  if (sides.length !== 4 || x0 === undefined || y0 === undefined || x1 === undefined || y1 === undefined)
    return `the box ${show(value)} is not four numbers`;
  const said = `the box [${x0}, ${y0}, ${x1}, ${y1}]`;
  if (page === undefined && ![x0, y0, x1, y1].every(Number.isInteger))
    return `${said} is not whole numbers, and no width and height say what it is part of`;
  if (x1 < x0 || y1 < y0) return `${said} ends before it begins`;
  const { width, height } = page ?? { width: BOX_UNITS, height: BOX_UNITS };
  if (x0 < 0 || y0 < 0 || x1 > width || y1 > height)
    return `${said} lies outside of the page, ${width} x ${height}${page === undefined ? " where no width and height are given" : ""}`;
  if (page === undefined) return [x0, y0, x1, y1];
  const scaled = (x: number, size: number): number => Math.trunc(BOX_UNITS * (x / size));
  return [scaled(x0, width), scaled(y0, height), scaled(x1, width), scaled(y1, height)];
}

function asNumber(value: unknown): number | undefined {
  const number = value instanceof Float || typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/** The smallest box around some; undefined: around none. */
export function around(boxes: readonly Box[]): Box | undefined {
  const [first] = boxes;
  if (first === undefined) return undefined;
  return boxes.reduce<Box>(
    ([a, b, c, d], [x0, y0, x1, y1]) => [Math.min(a, x0), Math.min(b, y0), Math.max(c, x1), Math.max(d, y1)],
    first,
  );
}
