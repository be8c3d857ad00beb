import { foldCase } from "./characters.js";
import type { Node, Syntax } from "./syntax.js";
import { PatternBudget } from "./syntax.js";

/** Tries to match from a place on: whether all that follows matches too. */
type Step = (at: number) => boolean;

/**
 * Where a match is, and its groups: [start, end] of each in characters, undefined where it did not take part.
 */
export interface Found {
  readonly start: number;
  readonly end: number;
  readonly groups: readonly (readonly [start: number, end: number] | undefined)[];
}

/**
 * Steps that are left, for all patterns that share them; every question adds a few for each character of its
 * text.
 */
export interface Budget {
  steps: number;
}
const STEPS_PER_CHARACTER = 4;

/** What a match in progress knows. */
interface State {
  text: readonly number[];
  steps: number;
  starts: (number | undefined)[];
  groups: (readonly [number, number] | undefined)[];
  /** Iterations of each repetition, and where the last one began. */
  counts: number[];
  lasts: number[];
  end: number;
}

/** How a match is looked for. */
export interface Search {
  /** It ends where the text ends. */
  readonly isFull?: boolean;
  /** It may begin later than where the search begins. */
  readonly isAnywhere?: boolean;
  /** An empty match at the very beginning is no more wanted. */
  readonly isEmptyTaken?: boolean;
}

/**
 * Matches as Python's `re` does: the first way in order, by backtracking, within a budget of steps: what one
 * question takes, later ones lack. Throws PatternBudget where nothing is left.
 */
export class Matcher {
  readonly #state: State;
  readonly #step: Step;
  readonly #budget: Budget;
  #from = 0;
  #how: Search = {};

  constructor({ node, groups }: Syntax, budget: Budget) {
    this.#budget = budget;
    this.#state = { text: [], steps: 0, starts: [], groups: [], counts: [], lasts: [], end: 0 };
    const s = this.#state;
    for (let i = 0; i <= groups; i++) s.groups.push(undefined);
    this.#step = compile(s, node, (at) => {
      const { isFull = false, isEmptyTaken = false } = this.#how;
      if ((isFull && at < s.text.length) || (isEmptyTaken && at === this.#from)) return false;
      s.end = at;
      return true;
    });
  }

  /** The first match from a place on. */
  find(text: readonly number[], from: number, how: Search): Found | undefined {
    const s = this.#state;
    s.text = text;
    const steps = this.#budget.steps + STEPS_PER_CHARACTER * (text.length - from + 1);
    s.steps = steps;
    this.#from = from;
    this.#how = how;
    try {
      for (let start = from; start <= (how.isAnywhere === true ? text.length : from); start++) {
        s.groups.fill(undefined);
        if (this.#step(start)) return { start, end: s.end, groups: [...s.groups] };
      }
      return undefined;
    } catch (error) {
      // Repetitions of groups stand on the stack, which ends with a RangeError.
      if (error instanceof OutOfSteps || error instanceof RangeError)
        throw new PatternBudget(steps - Math.max(0, s.steps));
      throw error;
    } finally {
      this.#budget.steps = Math.max(0, s.steps);
    }
  }
}

class OutOfSteps extends Error {}

function count(s: State): void {
  if (--s.steps < 0) throw new OutOfSteps();
}

function compile(s: State, node: Node, next: Step): Step {
  switch (node.kind) {
    case "char":
      return (at) => {
        count(s);
        const char = s.text[at];
        return char !== undefined && node.has(char) && next(at + 1);
      };
    case "sequence":
      return node.nodes.reduceRight<Step>((then, n) => compile(s, n, then), next);
    case "either": {
      const ways = node.nodes.map((n) => compile(s, n, next));
      return (at) => {
        count(s);
        return ways.some((way) => way(at));
      };
    }
    case "group":
      return group(s, node.index, node.node, next);
    case "repeat":
      return repeat(s, node, next);
    case "atomic": {
      const run = alone(s, node.node);
      return keepingGroups(s, (at) => {
        const end = run(at);
        return end !== undefined && next(end);
      });
    }
    case "look":
      return look(s, node, next);
    case "place":
      return (at) => {
        const { text } = s;
        const isBeforeLastNewline = at === text.length - 1 && text[at] === 10;
        return node.holds(text[at - 1], text[at], isBeforeLastNewline) && next(at);
      };
    case "backreference":
      return (at) => {
        const range = s.groups[node.index];
        if (range === undefined) return false;
        const [from, to] = range;
        for (let i = from; i < to; i++) {
          count(s);
          if (!isSame(s.text[i], s.text[at + i - from], node.ignoreCase)) return false;
        }
        return next(at + to - from);
      };
    case "condition": {
      const [yes, no] = [compile(s, node.yes, next), compile(s, node.no, next)];
      return (at) => (s.groups[node.index] === undefined ? no(at) : yes(at));
    }
  }
}

function isSame(a: number | undefined, b: number | undefined, ignoreCase: boolean): boolean {
  if (a === undefined || b === undefined || !ignoreCase) return a === b && a !== undefined;
  return foldCase(a, "unicode") === foldCase(b, "unicode");
}

function group(s: State, index: number, node: Node, next: Step): Step {
  const inner = compile(s, node, (at) => {
    const before = s.groups[index];
    s.groups[index] = [s.starts[index] ?? at, at];
    if (next(at)) return true;
    s.groups[index] = before;
    return false;
  });
  return (at) => {
    const before = s.starts[index];
    s.starts[index] = at;
    if (inner(at)) return true;
    s.starts[index] = before;
    return false;
  };
}

/** A node by itself: where its first match from a place ends; undefined: there is none. */
function alone(s: State, node: Node): (at: number) => number | undefined {
  const inner = compile(s, node, (at) => {
    s.end = at;
    return true;
  });
  return (at) => (inner(at) ? s.end : undefined);
}

/** What a step found for groups goes where the step fails. */
function keepingGroups(s: State, step: Step): Step {
  return (at) => {
    const before = [...s.groups];
    if (step(at)) return true;
    s.groups = before;
    return false;
  };
}

function look(s: State, node: Extract<Node, { kind: "look" }>, next: Step): Step {
  const { behind = 0, negated } = node;
  const run = alone(s, node.node);
  return keepingGroups(s, (at) => {
    const isThere = at >= behind && run(at - behind) !== undefined;
    return isThere !== negated && next(at);
  });
}

function repeat(s: State, node: Extract<Node, { kind: "repeat" }>, next: Step): Step {
  if (node.mode === "possessive") {
    const atomic: Node = { kind: "atomic", node: { ...node, mode: "greedy" } };
    return compile(s, atomic, next);
  }
  return node.node.kind === "char" ? repeatChar(s, node, next) : repeatGroup(s, node, next);
}

/** A repeated character needs no stack. */
function repeatChar(s: State, node: Extract<Node, { kind: "repeat" }>, next: Step): Step {
  const { min, max, mode, node: inner } = node;
  const has = (at: number): boolean => {
    count(s);
    const char = s.text[at];
    return inner.kind === "char" && char !== undefined && inner.has(char);
  };
  if (mode === "lazy")
    return (start) => {
      for (let at = start; ; at++) {
        if (at - start >= min && next(at)) return true;
        if (at - start >= max || !has(at)) return false;
      }
    };
  return (start) => {
    let at = start;
    while (at - start < max && has(at)) at++;
    for (; at - start >= min; at--) if (next(at)) return true;
    return false;
  };
}

/** As Python's: what repeats without taking anything is tried once, then left. */
function repeatGroup(s: State, node: Extract<Node, { kind: "repeat" }>, next: Step): Step {
  const { min, max, mode } = node;
  const loop = s.counts.length;
  s.counts.push(0);
  s.lasts.push(-1);
  const turn: Step = (at) => {
    count(s);
    const done = s.counts[loop] ?? 0;
    const last = s.lasts[loop] ?? -1;
    const again = (): boolean => {
      if (done >= max || (done >= min && at === last)) return false;
      s.counts[loop] = done + 1;
      if (done >= min) s.lasts[loop] = at;
      if (inner(at)) return true;
      s.counts[loop] = done;
      s.lasts[loop] = last;
      return false;
    };
    if (done < min) return again();
    return mode === "lazy" ? next(at) || again() : again() || next(at);
  };
  const inner = compile(s, node.node, turn);
  return (at) => {
    const [done, last] = [s.counts[loop] ?? 0, s.lasts[loop] ?? -1];
    s.counts[loop] = 0;
    s.lasts[loop] = -1;
    if (turn(at)) return true;
    s.counts[loop] = done;
    s.lasts[loop] = last;
    return false;
  };
}
