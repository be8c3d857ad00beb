/** One tensor of an adapter. */
export interface Entry {
  /** Its name inside the adapter: "model.layers.0.self_attn.q_proj.lora_A.weight". */
  readonly key: string;
  /** Its name in adapter_model.safetensors; undefined: not saved there. */
  readonly savedKey: string | undefined;
  readonly shape: readonly number[];
  /** The shape in a graph, where free axes are names. */
  readonly graphShape: readonly (number | string)[];
  /** It is never trained. */
  readonly frozen: boolean;
  /** It is among the parameters that Python counts. */
  readonly counted: boolean;
  /** What it is saved as. */
  readonly dtype: "f32" | "i32" | "i64";
  /** The key of the tensor whose values it has, which files may have alone; undefined: it has its own. */
  readonly copyOf: string | undefined;
  /** Made when it is asked for first: counting needs none. */
  readonly data: Float32Array;
}

/** A tensor to be added: with its values, or with what fills in the first ones (default: zeros). */
export type NewEntry = Pick<Entry, "key" | "savedKey" | "shape"> & {
  readonly frozen?: boolean;
  readonly counted?: boolean;
  readonly dtype?: Entry["dtype"];
  readonly graphShape?: Entry["graphShape"];
  readonly data?: Float32Array;
  readonly fill?: (data: Float32Array) => void;
  /** The key of another tensor whose values it has. */
  readonly sameAs?: string;
};
