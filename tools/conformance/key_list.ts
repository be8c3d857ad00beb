type Tree = Map<string, Tree>;

/** Stands where a name ends. */
const END = "";

/** Names with dots as a shell would expand them: a.x.w, a.y.w -> a.{x,y}.w */
export function keyList(keys: readonly string[]): string {
  const root: Tree = new Map();
  for (const key of keys) {
    let at = root;
    for (const part of key.split(".")) {
      const next: Tree = at.get(part) ?? new Map();
      at.set(part, next);
      at = next;
    }
    at.set(END, new Map());
  }
  return branches(root).join(" ");
}

/** What a tree expands to; children with the same tail share braces. */
function branches(tree: Tree): string[] {
  const byTail = new Map<string, string[]>();
  const add = (tail: string, part: string): unknown => byTail.set(tail, [...(byTail.get(tail) ?? []), part]);
  for (const [part, child] of tree) {
    if (part === END) continue;
    if (child.has(END)) add("", part);
    const tails = branches(child);
    if (tails.length > 0) add(tails.length > 1 ? `.{${tails}}` : `.${tails}`, part);
  }
  return [...byTail].map(([tail, parts]) => (parts.length > 1 ? `{${parts}}` : parts[0]!) + tail);
}
