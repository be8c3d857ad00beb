import type { CheckpointRules } from "../models/model.js";

/** Names that some modules had in transformers 4, and have in most files. */
export interface ModuleNames {
  /** A name, of a module or of something in it, as it is today. */
  readonly today: (name: string) => string;
  /** As it was before. */
  readonly before: (name: string) => string;
}

const SAME: ModuleNames = { today: (name) => name, before: (name) => name };

/** The names of an architecture that are older than those it is written with. */
export function moduleNamesOf({ modules = [] }: CheckpointRules = {}): ModuleNames {
  if (modules.length === 0) return SAME;
  const forward = modules.map(([before, today]) => replacing(before, today));
  const back = modules.map(([before, today]) => replacing(today, before)).reverse();
  return { today: (name) => applied(forward, name), before: (name) => applied(back, name) };
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
