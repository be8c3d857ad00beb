import type { Schedule, WeightType } from "../engine/messages.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";

/** What a graph is to give. */
export interface Wanted {
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Differentiated by `trained`: each gradient is a result `gradient:NAME`. */
  readonly loss: Tensor | undefined;
  readonly trained: readonly Tensor<"input">[];
}

/** What a plan asks of the model that it is made for. */
export interface Names {
  /** The weight that a layer multiplies by: see TraceOptions. */
  readonly weightOf: (site: LinearSite) => string;
  readonly typeOf: (weight: string) => WeightType;
  /** A short name for a program, by its whole content. */
  readonly program: (content: string) => string;
}

export interface Planned {
  readonly schedule: Schedule;
  readonly inputs: ReadonlySet<string>;
  /** Trained inputs that have a gradient. */
  readonly gradients: readonly string[];
}
