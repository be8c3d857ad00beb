import type { Node } from "./syntax.js";

/**
 * How many characters a node takes, where that is one number; undefined: it differs. `groups`: the widths of
 * groups before it.
 */
export function widthOf(node: Node, groups: ReadonlyMap<number, number | undefined>): number | undefined {
  const widthsOf = (nodes: readonly Node[]): (number | undefined)[] => nodes.map((n) => widthOf(n, groups));
  switch (node.kind) {
    case "char":
      return 1;
    case "place":
    case "look":
      return 0;
    case "group":
    case "atomic":
      return widthOf(node.node, groups);
    case "sequence":
      return widthsOf(node.nodes).reduce<number | undefined>(
        (sum, width) => (sum === undefined || width === undefined ? undefined : sum + width),
        0,
      );
    case "either":
      return only(widthsOf(node.nodes));
    case "condition":
      return only(widthsOf([node.yes, node.no]));
    case "repeat": {
      const width = widthOf(node.node, groups);
      return width === 0 ? 0 : node.min === node.max && width !== undefined ? width * node.min : undefined;
    }
    case "backreference":
      return groups.get(node.index);
  }
}

function only(widths: readonly (number | undefined)[]): number | undefined {
  return widths.every((width) => width === widths[0]) ? widths[0] : undefined;
}
