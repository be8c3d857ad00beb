type Tree = Map<string, Tree>;

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
    at.set("", new Map());
  }
  return branches(root).join(" ");
}

/** What a tree expands to; children with the same tail share braces. */
function branches(tree: Tree): string[] {
  const byTail = new Map<string, string[]>();
  for (const [part, child] of tree) {
    const tails = part === "" ? [] : branches(child);
    const tail = tails.length > 1 ? `.{${tails}}` : tails.map((t) => (t === "" ? "" : `.${t}`)).join("");
    byTail.set(tail, [...(byTail.get(tail) ?? []), part]);
  }
  return [...byTail].map(([tail, parts]) => (parts.length > 1 ? `{${parts}}` : parts[0]!) + tail);
}
