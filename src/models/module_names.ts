import type { CheckpointRules } from "./model.js";

/** Names that some modules had in transformers 4, and have in most files. */
export interface ModuleNames {
  /** A name, of a module or of something in it, as it is today. */
  readonly today: (name: string) => string;
  /** As it was then. */
  readonly then: (name: string) => string;
}

const SAME: ModuleNames = { today: (name) => name, then: (name) => name };

/** The names of an architecture that are older than those it is written with. */
export function moduleNamesOf({ modules = [] }: CheckpointRules = {}): ModuleNames {
  if (modules.length === 0) return SAME;
  const forward = modules.map(([then, today]) => replacing(then, today));
  const back = modules.map(([then, today]) => replacing(today, then)).reverse();
  return { today: (name) => applied(forward, name), then: (name) => applied(back, name) };
}

type Replace = (name: string) => string;

/** Puts one part of a path in the place of another; numbers stay. */
function replacing(from: string, to: string): Replace {
  const escaped = from.replaceAll(".", "\\.").replaceAll("*", "(\\d+)");
  const pattern = new RegExp(`(^|\\.)${escaped}(?=\\.|$)`, "g");
  let group = 1;
  const target = to.replaceAll("*", () => `$${++group}`);
  return (name) => name.replace(pattern, `$1${target}`);
}

function applied(all: readonly Replace[], name: string): string {
  return all.reduce((name, replace) => replace(name), name);
}
