/** Whether a character (a code point) is one of a set. */
export type CharSet = (char: number) => boolean;

/** A regular expression as a tree. Widths and counts are in characters (code points). */
export type Node =
  | { readonly kind: "char"; readonly has: CharSet }
  | { readonly kind: "sequence"; readonly nodes: readonly Node[] }
  | { readonly kind: "either"; readonly nodes: readonly Node[] }
  | {
      readonly kind: "repeat";
      readonly node: Node;
      readonly min: number;
      readonly max: number;
      readonly mode: "greedy" | "lazy" | "possessive";
    }
  | { readonly kind: "group"; readonly node: Node; readonly index: number }
  /** Matches its node in the first way only: no other is tried when what follows fails. */
  | { readonly kind: "atomic"; readonly node: Node }
  /** `behind`: how many characters before this place the node begins; undefined: it looks ahead. */
  | {
      readonly kind: "look";
      readonly node: Node;
      readonly behind: number | undefined;
      readonly negated: boolean;
    }
  | { readonly kind: "backreference"; readonly index: number; readonly ignoreCase: boolean }
  | { readonly kind: "condition"; readonly index: number; readonly yes: Node; readonly no: Node }
  | { readonly kind: "place"; readonly holds: Place };

/**
 * Whether something holds between the characters before and after a place; undefined: the text's start or
 * end.
 */
export type Place = (
  before: number | undefined,
  after: number | undefined,
  isBeforeLastNewline: boolean,
) => boolean;

export interface Syntax {
  readonly node: Node;
  /** Capturing groups, by number and name; number 0 is the whole match. */
  readonly groups: number;
  readonly names: ReadonlyMap<string, number>;
}

/** What a pattern does wrong, and where (in characters from its start). */
export class PatternError extends Error {
  readonly reason: string;
  readonly position: number;
  constructor(reason: string, position: number) {
    super(`${reason} at position ${position}`);
    this.reason = reason;
    this.position = position;
  }
}

/** The text takes more steps than the pattern may take. */
export class PatternBudget extends Error {
  readonly steps: number;
  constructor(steps: number) {
    super(`more than ${steps} steps`);
    this.steps = steps;
  }
}
