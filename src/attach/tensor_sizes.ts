import { elements } from "../engine/formats/format.js";
import { PeftError } from "../errors.js";
import { option, words } from "../words.js";

/** Numbers that any tensor of an adapter may have, however small the layer. */
const ALWAYS = 2 ** 20;
/**
 * How many times as large as the layer's own weight a tensor may be: ranks above a layer's dimensions are of
 * no use.
 */
const TIMES = 64;

/**
 * Refuses a tensor that no adapter of good faith has, before anything is allocated. Throws "adapter-config",
 * which names the option.
 * @param where the layer, or what the tensor is of
 * @param held how many numbers the layer's own weight has
 */
export function checkTensorSize(
  config: object,
  where: string,
  tensor: { readonly key: string; readonly shape: readonly number[] },
  held: number,
): void {
  const { key, shape } = tensor;
  if (shape.every(Number.isSafeInteger) && elements(shape) <= Math.max(ALWAYS, TIMES * held)) return;
  const [name, value] = largestOption(config, Math.max(...shape));
  throw new PeftError("adapter-config", {
    what: words`${option(name)} is ${value}.`,
    why: `${key} of ${where} would be [${shape.join(", ")}], where the model's own weight there has ${held} numbers.`,
    fix: words`a smaller number: ${option(name, 8)}.`,
  });
}

/** The option that a length comes from: its own value, or the largest number of the config. */
function largestOption(config: object, length: number): [name: string, value: number] {
  const numbers = Object.entries(config).flatMap(([name, value]: [string, unknown]): [string, number][] => {
    const all = typeof value === "object" && value !== null ? Object.values(value) : [value];
    return all.filter((x) => typeof x === "number").map((x) => [name, x]);
  });
  const sorted = numbers.sort(([, a], [, b]) => b - a);
  return numbers.find(([, x]) => x === length) ?? sorted[0] ?? ["r", length];
}
