import type { OptionReader } from "./checks.js";
import type { Selection } from "./method.js";

/** Options that choose layers by name. */
export interface TargetOptions {
  /**
   * A regular expression (full match), names or dotted suffixes, or "all-linear"; left out: the model's
   * default.
   */
  targetModules?: string | readonly string[] | undefined;
  /** Layers that stay as they are, in the same forms. */
  excludeModules?: string | readonly string[] | undefined;
}

/** Options that choose layers by name and number. */
export interface SelectionOptions extends TargetOptions {
  /** Numbers of the blocks that are adapted; left out: all. Not with a regular expression. */
  layersToTransform?: number | readonly number[] | undefined;
  /** Name of the list of blocks ("layers", "h") where the usual ones do not apply. */
  layersPattern?: string | readonly string[] | undefined;
}

export function readTargets(options: OptionReader): Pick<Selection, "targetModules" | "excludeModules"> {
  const read = (key: string): string | readonly string[] | undefined => {
    const found = options.textOrNames(key);
    if (typeof found === "string" && found !== "all-linear") options.pattern(key, found);
    return found;
  };
  return { targetModules: read("targetModules"), excludeModules: read("excludeModules") };
}

/** Which blocks a selection is in; `targetModules` is read already. */
export function readBlockNumbers(
  options: OptionReader,
  { targetModules }: Pick<Selection, "targetModules">,
): Pick<Selection, "layersToTransform" | "layersPattern"> {
  const layersToTransform = options.integerOrIntegers("layersToTransform");
  const layersPattern = options.textOrNames("layersPattern");
  if (typeof targetModules === "string") {
    for (const key of ["layersToTransform", "layersPattern"]) {
      if (options.raw(key) === undefined) continue;
      options.fault(
        `${key} is given with targetModules: "${targetModules}".`,
        "a pattern already says which blocks it means.",
        { fix: `leave ${key} out, or list targetModules by name: ["q_proj"].` },
      );
    }
  } else if ((layersPattern?.length ?? 0) > 0 && layersToTransform === undefined) {
    options.fault(
      `layersPattern is ${JSON.stringify(layersPattern)} and layersToTransform is not given.`,
      "the pattern only names the list of blocks that layersToTransform numbers.",
      { fix: "add layersToTransform: [0], or leave layersPattern out." },
    );
  }
  return { layersToTransform, layersPattern };
}
