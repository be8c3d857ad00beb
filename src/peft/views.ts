import { PeftError } from "../errors.js";
import type { Adapter } from "./adapter.js";
import type { View } from "./runtime.js";
import { NO_ADAPTERS } from "./runtime.js";

/** In place of an adapter's name: none. */
export const BASE = "__base__";

/** Adapters for all rows of a run; `on` false: the base's numbers, by the same compiled graph where there is one. */
export function viewOf(adapters: readonly Adapter[], on: boolean): View {
  if (on) return { adapters, gates: adapters.map(() => 1) };
  const hasPrompt = adapters.some((a) => a.method?.prompt !== undefined);
  return hasPrompt ? NO_ADAPTERS : { adapters, gates: adapters.map(() => 0) };
}

/** An adapter of its own for each row. Throws "batch". */
export function mixedView(
  names: readonly string[],
  rows: number,
  adapterOf: (name: string) => Adapter,
): View {
  const used = [...new Set(names)].filter((n) => n !== BASE).map(adapterOf);
  if (names.length !== rows)
    throw new PeftError("batch", {
      what: `adapterNames has ${names.length} names for ${rows} rows.`,
      why: "each row needs one.",
      fix: `give ${rows} names; "${BASE}" means none.`,
    });
  const whole = used.filter((a) => a.replaced.size > 0 || a.method?.prompt !== undefined);
  if (whole.length > 0)
    throw new PeftError("batch", {
      what: `The adapters ${whole.map((a) => a.name).join(", ")} cannot be mixed in one batch.`,
      why: "they replace whole modules or add virtual tokens, which all rows share.",
      fix: "run them one after another.",
    });
  return { adapters: used, gates: used.map((a) => Float32Array.from(names, (n) => (n === a.name ? 1 : 0))) };
}

/** Adapters that cannot be active at once: two prompts, or two tensors for one weight of the base. Throws "adapter-config". */
export function checkTogether(adapters: readonly Adapter[]): void {
  const prompts = adapters.filter((a) => a.method?.prompt !== undefined);
  const all = adapters.flatMap((a) => [...a.replaced.keys()]);
  const twice = [...new Set(all.filter((name, i) => all.indexOf(name) !== i))];
  if (prompts.length < 2 && twice.length === 0) return;
  throw new PeftError("adapter-config", {
    what: `The adapters ${adapters.map((a) => a.name).join(", ")} cannot be active together.`,
    why:
      twice.length > 0
        ? `each has a tensor of its own in place of ${twice.slice(0, 5).join(", ")}.`
        : "each brings virtual tokens, and there is one place for them.",
    fix: `activate one of them: setAdapter("${adapters[0]!.name}").`,
  });
}
