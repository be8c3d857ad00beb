/** What of an adapter stands at an input of a graph. Slots count the adapters of a run. */
export type AdapterInput =
  | { readonly kind: "tensor"; readonly slot: number; readonly key: string }
  /** A layer's factor times the gate. */
  | { readonly kind: "scale"; readonly slot: number; readonly path: string }
  /** Whether the adapter is on: 1 or 0, row by row where rows have adapters of their own. */
  | { readonly kind: "gate"; readonly slot: number };

export type AdapterTensor = Extract<AdapterInput, { kind: "tensor" }>;

/** Adapters' inputs by their names in the graph: who has a name asks here what it is. */
export type AdapterInputs = ReadonlyMap<string, AdapterInput>;

/** The name of an adapter's input in a graph. */
export function adapterInputName(input: AdapterInput): string {
  if (input.kind === "tensor") return `${input.slot}/${input.key}`;
  return input.kind === "scale" ? `${input.slot}/scale:${input.path}` : `${input.slot}/gate`;
}
