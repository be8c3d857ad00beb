import type { OptionReader } from "./checks.js";

/** `initWeights` of methods that know other starts by name. */
export function readStart<T extends string>(
  read: OptionReader,
  names: readonly T[],
  byDefault: boolean | T = true,
): boolean | T {
  const init = read.raw("initWeights") ?? byDefault;
  const known = names.find((name) => typeof init === "string" && init.toLowerCase() === name);
  if (typeof init === "boolean") return init;
  if (known !== undefined) return known;
  const quoted = names.map((name) => `"${name}"`).join(", ");
  read.fault(`initWeights is ${JSON.stringify(init)}.`, `it is true, false or one of ${quoted}.`, {
    fix: "initWeights: true.",
  });
  return byDefault;
}
