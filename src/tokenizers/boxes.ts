import type { Json } from "./pipeline/json.js";
import { booleanOr } from "./pipeline/json.js";

type Box = readonly [x0: number, y0: number, x1: number, y1: number];

/** What a tokenizer of documents gives to tokens that are no words, in thousandths of the page. */
export interface BoxRules {
  readonly cls: Box;
  readonly sep: Box;
  readonly padding: Box;
  /** Only a word's first token has its label. */
  readonly firstOnly: boolean;
}

const ORIGIN: Box = [0, 0, 0, 0];

/** LayoutLM's, as its examples have them, and LayoutLMv2's. */
export const usualBoxes: BoxRules = {
  cls: ORIGIN,
  sep: [1000, 1000, 1000, 1000],
  padding: ORIGIN,
  firstOnly: true,
};

/** LayoutLMv3's. */
export const boxesAtOrigin: BoxRules = { ...usualBoxes, sep: ORIGIN };

/** The boxes that tokenizer_config.json says; what it leaves out is its class's. */
export function readBoxes(config: Json, usual: BoxRules = usualBoxes): BoxRules {
  const box = (name: string, otherwise: Box): Box => {
    const value: unknown = config[`${name}_token_box`];
    const [x0, y0, x1, y1] = Array.isArray(value) && value.every(Number.isInteger) ? value : otherwise;
    return [x0 ?? 0, y0 ?? 0, x1 ?? 0, y1 ?? 0];
  };
  return {
    cls: box("cls", usual.cls),
    sep: box("sep", usual.sep),
    padding: box("pad", usual.padding),
    firstOnly: booleanOr(config["only_label_first_subword"], usual.firstOnly),
  };
}
