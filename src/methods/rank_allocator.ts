import { PeftError } from "../errors.js";
import { axes } from "../graph/dims.js";
import { at, entry } from "../present.js";
import { option, words } from "../words.js";
import type { Allocator, Graded, NamedTensor } from "./method.js";

/** AdaLoRA's schedule: of importance and of how many singular values stay. */
export interface RankSchedule {
  readonly targetR: number;
  readonly tinit: number;
  readonly tfinal: number;
  readonly deltaT: number;
  /** undefined: `plan` says it. */
  readonly totalStep: number | undefined;
  readonly beta1: number;
  readonly beta2: number;
  /** What stayed in a former training, by keys of singular values. */
  readonly rankPattern: Readonly<Record<string, readonly boolean[]>> | undefined;
}

const f32 = Math.fround;

/**
 * Which singular values of all layers stay: those that the loss is most sensitive to, by a smoothed |w dL/dw|
 * and its smoothed change (2303.10512, section 3.2). The others become zero. Reference:
 * peft/tuners/adalora/layer.py RankAllocator
 */
export class RankAllocator implements Allocator {
  readonly #c: RankSchedule;
  #totalStep: number | undefined;
  readonly #sensitivity: Tensors;
  readonly #uncertainty: Tensors;
  /** Of each layer's singular values, [r, 1]: 1 stays, 0 is zero. */
  readonly #kept: Tensors;

  constructor(schedule: RankSchedule, tensors: readonly NamedTensor[]) {
    this.#c = schedule;
    this.#totalStep = schedule.totalStep;
    this.#sensitivity = new Map(tensors.map(({ key, data }) => [key, new Float32Array(data.length)]));
    this.#uncertainty = new Map(tensors.map(({ key, data }) => [key, new Float32Array(data.length)]));
    const values = tensors.filter(({ key }) => key.endsWith(VALUES));
    this.#kept = new Map(values.map(({ key, data }) => [key, new Float32Array(data.length).fill(1)]));
  }

  plan(totalStep: number): number {
    const { tinit, tfinal } = this.#c;
    this.#totalStep = this.#c.totalStep ?? totalStep;
    if (tinit < this.#totalStep - tfinal) return this.#totalStep;
    throw new PeftError("adapter-config", {
      what: words`${option("tinit")} is ${tinit}, ${option("tfinal")} ${tfinal}, and the training takes ${this.#totalStep} steps.`,
      why: "no step is left in which ranks change.",
      fix: words`less of ${option("tinit")} and ${option("tfinal")}, or more steps.`,
    });
  }

  /** The step after which ranks stay. */
  get #last(): number {
    if (this.#totalStep !== undefined) return this.#totalStep - this.#c.tfinal;
    throw new PeftError("adapter-config", {
      what: words`${option("totalStep")} is not given.`,
      why: "ranks are taken away over the whole training, and only the Trainer knows how long that is.",
      fix: words`say how many steps the optimizer will take: ${option("totalStep", 1000)}.`,
    });
  }

  update(step: number, tensors: readonly Graded[]): void {
    const last = this.#last;
    if (step < last) this.#observe(tensors);
    const budget = this.#budget(step);
    if (budget !== undefined) this.#choose(tensors, budget);
    if (budget !== undefined || step > last)
      for (const { key, data } of tensors)
        for (const [i, stays] of (this.#kept.get(key) ?? []).entries()) if (stays === 0) data[i] = 0;
  }

  get pattern(): ReadonlyMap<string, readonly boolean[]> | undefined {
    const kept = [...this.#kept];
    if (kept.every(([, all]) => all.every((stays) => stays === 1))) return undefined;
    return new Map(kept.map(([key, all]) => [key, this.#inFull(key, all)]));
  }

  /** Among all that the layer had before anything was taken away, in a former training. */
  #inFull(key: string, kept: Float32Array): boolean[] {
    const before = this.#c.rankPattern?.[key] ?? Array.from(kept, () => true);
    let at = 0;
    return before.map((stayed) => stayed && kept[at++] === 1);
  }

  state(): { name: string; data: Float32Array }[] {
    const named = (what: string, tensors: Tensors): { name: string; data: Float32Array }[] =>
      [...tensors].map(([key, data]) => ({ name: `${what}.${key}`, data }));
    return [
      ...named("sensitivity", this.#sensitivity),
      ...named("uncertainty", this.#uncertainty),
      ...named("kept", this.#kept),
    ];
  }

  shrink({ key, shape, data }: NamedTensor): NamedTensor {
    const kept = this.#kept.get(layerOf(key));
    if (kept === undefined || !/\.lora_[AEB]$/.test(key)) return { key, shape, data };
    const [rows, columns] = axes(shape, 2);
    const byColumn = key.endsWith(LEFT);
    const left = data.filter((_, i) => kept[byColumn ? i % columns : Math.floor(i / columns)] === 1);
    const rank = kept.reduce((n, stays) => n + stays, 0);
    return { key, shape: byColumn ? [rows, rank] : [rank, columns], data: left };
  }

  #observe(tensors: readonly Graded[]): void {
    const [beta1, beta2] = [this.#c.beta1, this.#c.beta2];
    for (const { key, data, gradient } of tensors) {
      const sensitivity = entry(this.#sensitivity, key);
      const uncertainty = entry(this.#uncertainty, key);
      for (const [i, slope] of gradient.entries()) {
        const now = Math.abs(f32(at(data, i) * slope));
        const mean = f32(f32(beta1 * at(sensitivity, i)) + f32((1 - beta1) * now));
        sensitivity[i] = mean;
        uncertainty[i] = f32(beta2 * at(uncertainty, i)) + f32((1 - beta2) * Math.abs(f32(now - mean)));
      }
    }
  }

  /** Singular values that stay after a step: fewer by a cubic schedule; undefined: this step changes none. */
  #budget(step: number): number | undefined {
    const { targetR, tinit, deltaT } = this.#c;
    const first = [...this.#kept.values()].reduce((n, all) => n + all.length, 0);
    const target = targetR * this.#kept.size;
    const last = this.#last;
    if (step <= tinit || step > last || (step < last && step % deltaT !== 0)) return undefined;
    const left = 1 - (step - tinit) / (last - tinit);
    return Math.trunc((first - target) * left ** 3 + target);
  }

  #choose(tensors: readonly Graded[], budget: number): void {
    const scores = new Map<string, Float32Array>();
    for (const tensor of tensors) {
      const layer = layerOf(tensor.key);
      const own = this.#scores(tensor);
      const all = scores.get(layer);
      if (all === undefined) scores.set(layer, own);
      else for (const [i, score] of own.entries()) all[i]! += score;
    }
    const ordered = Float32Array.from([...scores.values()].flatMap((s) => [...s])).sort();
    const threshold = ordered[ordered.length - budget - 1] ?? Number.NEGATIVE_INFINITY;
    for (const [layer, own] of scores) {
      const kept = entry(this.#kept, layer);
      for (const [i, score] of own.entries()) kept[i] = score > threshold ? 1 : 0;
    }
  }

  /** Of each singular value, [r]: means over A's rows and B's columns. */
  #scores({ key, shape }: Graded): Float32Array {
    const [sensitivity, uncertainty] = [entry(this.#sensitivity, key), entry(this.#uncertainty, key)];
    const [rows, columns] = axes(shape, 2);
    const byColumn = key.endsWith(LEFT);
    const scores = new Float64Array(byColumn ? columns : rows);
    for (const [i, s] of sensitivity.entries())
      scores[byColumn ? i % columns : Math.floor(i / columns)]! += f32(s * at(uncertainty, i));
    return Float32Array.from(scores, (s) => s / (byColumn ? rows : columns));
  }
}

type Tensors = Map<string, Float32Array>;

/**
 * Endings of a layer's tensors: singular values [r, 1], left singular vectors [out, r]; the right ones are
 * [r, in].
 */
const VALUES = ".lora_E";
const LEFT = ".lora_B";

/** The key of the singular values that a tensor belongs to. */
function layerOf(key: string): string {
  return key.replace(/\.lora_[AEB]$/, VALUES);
}
