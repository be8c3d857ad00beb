import { at } from "../present.js";

/**
 * Children of one module whose order in Python is not the one in which a model computes them, where the last
 * one is there.
 */
const ORDERS: readonly (readonly string[])[] = [
  ["k_proj", "v_proj", "q_proj", "out_proj"], // BART, OPT, GPT-J and all that have an out_proj
  ["o_proj", "qkv_proj"], // Phi-3
];

/**
 * Layers in the order in which Python registers them, which some methods deal by: as the model computes them,
 * but for siblings that stand in one of these orders.
 * @param registered such an order of the model's own
 */
export function registeredOrder<S extends { readonly path: string }>(
  sites: readonly S[],
  registered: readonly string[] = [],
): S[] {
  const ordered = (group: readonly S[], depth: number): S[] => {
    const children = new Map<string, S[]>();
    for (const site of group) {
      const name = site.path.split(".")[depth] ?? "";
      children.set(name, [...(children.get(name) ?? []), site]);
    }
    if (children.has("")) return [...group];
    return namesInOrder([...children.keys()], registered).flatMap((name) =>
      ordered(children.get(name) ?? [], depth + 1),
    );
  };
  return ordered(sites, 0);
}

/** Siblings that have an order stand in it, in the places that they have. */
function namesInOrder(names: readonly string[], registered: readonly string[]): readonly string[] {
  const orders = ORDERS.filter((order) => names.includes(at(order, -1)));
  return [registered, ...orders].reduce<readonly string[]>((before, order) => {
    const sorted = order.filter((name) => before.includes(name));
    return before.map((name) => (order.includes(name) ? (sorted.shift() ?? name) : name));
  }, names);
}
