import { bytesPer, elements } from "../src/hub/tensors/dtypes.js";
import { specOf } from "../src/peft/spec.js";
import { sizeText } from "../src/plan/memory/sizes.js";
import { takeInventory } from "../src/trace/write.js";
import { shapeOf } from "../tools/shapes/shapes.js";
import type { PeakMemory } from "./memory.js";
import { runReference } from "./python.js";

/** Python's side of a step. */
export interface ReferenceStep {
  readonly model: string;
  readonly batch: number;
  readonly seq: number;
  readonly labelSeq: number;
  readonly steps: number;
  readonly threads: number;
  readonly layers: number | undefined;
  readonly dtype: "f32" | "bf16";
  readonly checkpointing: boolean;
  /** Given: runs with so many and twice so many layers, and what they say of the whole. */
  readonly referenceLayers: number | undefined;
}

export interface ReferenceFigures {
  readonly ms: number;
  readonly least: number;
  /** Bytes, and the resident set. */
  readonly memory: PeakMemory;
  readonly resident: number;
  /** Where not all was run: what was, and why. */
  readonly reckoned: string | undefined;
}

/** Shapes that Python's script lacks. */
const ONLY_OURS = new Set(["smollm2-135m", "llama-7b", "t5-3b", "t5-11b"]);
/** A step has been seen to take four times its weights, with long batches. */
const SURE = 6;
const PART_LAYERS = 2;
const RESERVE = 0.9;

/**
 * The whole model where it fits into this machine's memory. Where that is not sure, two parts of it first:
 * layers all cost the same. Undefined where Python cannot run at all.
 */
export async function referenceStep(o: ReferenceStep): Promise<ReferenceFigures | undefined> {
  if (ONLY_OURS.has(o.model)) {
    console.log(`Python: not run, its script has no ${o.model}`);
    return undefined;
  }
  const { config, task } = shapeOf(o.model, o.layers);
  const { weights } = takeInventory(specOf(config, task));
  const bytes = bytesPer[o.dtype] * [...weights.values()].reduce((n, shape) => n + elements(shape), 0);
  if (o.referenceLayers === undefined && SURE * bytes < process.availableMemory())
    return measured(o, o.layers);
  const whole = (config["num_layers"] ?? config["num_hidden_layers"]) as number;
  const few = o.referenceLayers ?? PART_LAYERS;
  if (2 * few >= whole) return measured(o, o.layers);
  const parts = [await measured(o, few), await measured(o, 2 * few)] as const;
  if (parts[0] === undefined || parts[1] === undefined) return undefined;
  const reckoned = extrapolated(parts[0], parts[1], (whole - few) / few);
  const free = process.availableMemory();
  if (o.referenceLayers === undefined && reckoned.resident < RESERVE * free) return measured(o, o.layers);
  const why =
    o.referenceLayers === undefined
      ? `${sizeText(reckoned.resident)} do not fit into ${sizeText(free)}`
      : "as asked";
  return {
    ...reckoned,
    reckoned: `reckoned for ${whole} layers from runs with ${few} and ${2 * few}: ${why}`,
  };
}

async function measured(o: ReferenceStep, layers: number | undefined): Promise<ReferenceFigures | undefined> {
  const found = await runReference("reference_step.py", [
    ...["--model", o.model, "--batch", `${o.batch}`, "--seq", `${o.seq}`, "--label-seq", `${o.labelSeq}`],
    ...["--steps", `${o.steps}`, "--threads", `${o.threads}`, "--dtype", o.dtype],
    ...(layers === undefined ? [] : ["--layers", `${layers}`]),
    ...(o.checkpointing ? ["--checkpointing"] : []),
  ]);
  if (found === undefined) return undefined;
  const number = (key: string): number => found.json[key] as number;
  const [ms, least] = [number("ms_per_step"), number("min_ms")];
  return { ms, least, memory: found.memory, resident: number("peak_mb") * 2 ** 20, reckoned: undefined };
}

/** The line through both, `times` as far as from one to the other. */
function extrapolated(
  one: ReferenceFigures,
  two: ReferenceFigures,
  times: number,
): Omit<ReferenceFigures, "reckoned"> {
  const line = (of: (f: ReferenceFigures) => number): number => of(one) + times * (of(two) - of(one));
  const [ms, least, resident] = [line((f) => f.ms), line((f) => f.least), line((f) => f.resident)];
  const peak = line((f) => f.memory.peak);
  return { ms, least, resident, memory: { peak, anonymous: peak, mapped: 0 } };
}
