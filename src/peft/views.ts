import { PeftError } from "../errors.js";
import type { Adapter } from "./adapter.js";
import { BASE } from "./checks.js";
import type { View } from "./plan_run.js";
import { NO_ADAPTERS } from "./plan_run.js";

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
