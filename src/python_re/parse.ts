import { anyButNewline, anyChar, complement, literal, range } from "./characters.js";
import { classOf, lineEnd, lineStart, placesOf, textEnd, textStart } from "./escapes.js";
import { casingOf, classesOf, type Flags, flagsOf, isFlag, NO_FLAGS } from "./flags.js";
import type { CharSet, Node, Syntax } from "./syntax.js";
import { PatternError } from "./syntax.js";
import { widthOf } from "./width.js";

const EMPTY: Node = { kind: "sequence", nodes: [] };
const MOST_REPEATS = 2 ** 32 - 1;
/** Groups in groups: as deep as anyone writes, and no deeper than the stack. */
const MOST_NESTED = 200;
const MOST_CHARACTERS = 50_000;

const SIMPLE: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11, "\\": 92 };

/**
 * Reads a regular expression of Python's `re` (3.11), for str patterns. Throws PatternError where Python
 * throws re.error, and for \N{...}, names of characters, which are not known here.
 */
export function parsePattern(source: string): Syntax {
  return new Parser(source).parse();
}

class Parser {
  readonly #text: readonly string[];
  #at = 0;
  #groups = 0;
  #depth = 0;
  readonly #names = new Map<string, number>();
  readonly #open = new Set<number>();
  /** Widths of closed groups, for lookbehind. */
  readonly #widths = new Map<number, number | undefined>();
  /** Conditions may name groups that come later. */
  readonly #conditions: { index: number; position: number }[] = [];
  /** Groups before the outermost lookbehind that is being read: those that it may refer to. */
  #groupsBehind: number | undefined;

  constructor(source: string) {
    this.#text = [...source];
    if (this.#text.length > MOST_CHARACTERS) throw new PatternError("too long a pattern", MOST_CHARACTERS);
  }

  parse(): Syntax {
    const node = this.#either(this.#globalFlags());
    if (this.#at < this.#text.length) this.#fail("unbalanced parenthesis");
    for (const { index, position } of this.#conditions)
      if (index > this.#groups) throw new PatternError(`invalid group reference ${index}`, position);
    return { node, groups: this.#groups, names: this.#names };
  }

  #fail(reason: string, position = this.#at): never {
    throw new PatternError(reason, position);
  }

  #peek(ahead = 0): string | undefined {
    return this.#text[this.#at + ahead];
  }

  /** Takes a text if it comes next. */
  #take(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.#peek(i) !== text[i]) return false;
    this.#at += text.length;
    return true;
  }

  #until(end: string, what: string): string {
    const from = this.#at;
    while (this.#peek() !== end) {
      if (this.#peek() === undefined) this.#fail(`missing ${end}, unterminated ${what}`, from);
      this.#at++;
    }
    this.#at++;
    return this.#text.slice(from, this.#at - 1).join("");
  }

  /** (?i) at the very start holds for the whole pattern. */
  #globalFlags(): Flags {
    let flags = NO_FLAGS;
    for (;;) {
      if (flags.verbose) this.#skipVerbose();
      const found = /^\(\?([a-zA-Z]+)\)/.exec(this.#text.slice(this.#at, this.#at + 16).join(""));
      if (found === null) return flags;
      const at = this.#at;
      this.#at += found[0].length;
      flags = { ...flags, ...this.#flagsOf(found[1] ?? "", at) };
    }
  }

  #flagsOf(letters: string, position: number): Partial<Flags> {
    const flags = flagsOf(letters);
    return typeof flags === "string" ? this.#fail(flags, position) : flags;
  }

  #skipVerbose(): void {
    for (let char = this.#peek(); char !== undefined; char = this.#peek()) {
      if (char === "#") while (this.#peek() !== undefined && this.#peek() !== "\n") this.#at++;
      else if (!/[ \t\n\r\v\f]/.test(char)) return;
      if (this.#peek() !== undefined) this.#at++;
    }
  }

  #either(flags: Flags): Node {
    const nodes = [this.#sequence(flags)];
    while (this.#take("|")) nodes.push(this.#sequence(flags));
    return nodes.length === 1 ? (nodes[0] ?? EMPTY) : { kind: "either", nodes };
  }

  #sequence(flags: Flags): Node {
    if (++this.#depth > MOST_NESTED) this.#fail("groups nested too deep");
    const nodes: Node[] = [];
    for (;;) {
      if (flags.verbose) this.#skipVerbose();
      const char = this.#peek();
      if (char === undefined || char === "|" || char === ")") break;
      const position = this.#at;
      const bounds = this.#bounds();
      const node = bounds === undefined ? this.#atom(flags) : this.#repeat(nodes.pop(), bounds, position);
      if (node !== undefined) nodes.push(node);
    }
    this.#depth--;
    return { kind: "sequence", nodes };
  }

  /** The atom before a repetition, repeated. */
  #repeat(node: Node | undefined, [min, max]: readonly [number, number], position: number): Node {
    if (node === undefined || node.kind === "place") this.#fail("nothing to repeat", position);
    if (node.kind === "repeat") this.#fail("multiple repeat", position);
    const mode = this.#take("?") ? "lazy" : this.#take("+") ? "possessive" : "greedy";
    return { kind: "repeat", node, min, max, mode };
  }

  #bounds(): readonly [min: number, max: number] | undefined {
    if (this.#take("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.#take("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.#take("?")) return [0, 1];
    const found = /^\{(\d*)(,?)(\d*)\}/.exec(this.#text.slice(this.#at, this.#at + 64).join(""));
    // {} and what is no range of numbers are the characters themselves
    if (found === null || found[0] === "{}") return undefined;
    const [whole, low = "", comma = "", high = ""] = found;
    const min = Number(low || "0");
    const max = high !== "" ? Number(high) : comma === "" ? min : Number.POSITIVE_INFINITY;
    if (min >= MOST_REPEATS || (max !== Number.POSITIVE_INFINITY && max >= MOST_REPEATS))
      this.#fail("the repetition number is too large");
    if (max < min) this.#fail("min repeat greater than max repeat");
    this.#at += whole.length;
    return [min, max];
  }

  #atom(flags: Flags): Node | undefined {
    const position = this.#at;
    const char = this.#peek() ?? "";
    this.#at++;
    if (char === "(") return this.#group(flags, position);
    if (char === "[") return { kind: "char", has: this.#class(flags, position) };
    if (char === "\\") return this.#escape(flags, position);
    if (char === ".") return { kind: "char", has: flags.dotAll ? anyChar : anyButNewline };
    if (char === "^") return { kind: "place", holds: flags.multiline ? lineStart : textStart };
    if (char === "$") return { kind: "place", holds: flags.multiline ? lineEnd : textEnd };
    return { kind: "char", has: literal(codeOf(char), casingOf(flags)) };
  }

  #group(flags: Flags, position: number): Node | undefined {
    if (!this.#take("?")) return this.#capture(flags, undefined, position);
    if (this.#take("P")) return this.#named(flags, position);
    if (this.#take(":")) return this.#closed(this.#either(flags), position);
    if (this.#take("#")) {
      this.#until(")", "comment");
      return undefined;
    }
    if (this.#take(">")) return { kind: "atomic", node: this.#closed(this.#either(flags), position) };
    if (this.#take("(")) return this.#condition(flags, position);
    for (const [text, behind, negated] of LOOKS)
      if (this.#take(text)) return this.#look(flags, position, behind, negated);
    return this.#flagged(flags, position);
  }

  /** A group's node, with its closing parenthesis. */
  #closed<T>(node: T, position: number): T {
    if (!this.#take(")")) this.#fail("missing ), unterminated subpattern", position);
    return node;
  }

  #capture(flags: Flags, name: string | undefined, position: number): Node {
    const index = ++this.#groups;
    if (name !== undefined) {
      if (this.#names.has(name)) this.#fail(`redefinition of group name "${name}"`, position);
      this.#names.set(name, index);
    }
    this.#open.add(index);
    const node = this.#closed(this.#either(flags), position);
    this.#open.delete(index);
    this.#widths.set(index, widthOf(node, this.#widths));
    return { kind: "group", node, index };
  }

  /** (?P<name>...) and (?P=name). */
  #named(flags: Flags, position: number): Node {
    if (this.#take("<")) return this.#capture(flags, this.#name(">", position), position);
    if (!this.#take("=")) this.#fail(`unknown extension ?P${this.#peek() ?? ""}`, position);
    const name = this.#name(")", position);
    return this.#reference(
      this.#names.get(name) ?? this.#fail(`unknown group name "${name}"`, position),
      flags,
    );
  }

  #name(end: string, position: number): string {
    const name = this.#until(end, "name");
    if (name === "") this.#fail("missing group name", position);
    if (!/^[\p{ID_Start}_][\p{ID_Continue}]*$/u.test(name))
      this.#fail(`bad character in group name "${name}"`, position);
    return name;
  }

  #reference(index: number, flags: Flags): Node {
    if (this.#open.has(index)) this.#fail("cannot refer to an open group");
    if (this.#groupsBehind !== undefined && index > this.#groupsBehind)
      this.#fail("cannot refer to group defined in the same lookbehind subpattern");
    return { kind: "backreference", index, ignoreCase: flags.ignoreCase };
  }

  /** (?(1)yes|no) or (?(name)yes|no). */
  #condition(flags: Flags, position: number): Node {
    const name = this.#until(")", "name");
    const index = /^\d+$/.test(name) ? Number(name) : this.#names.get(name);
    if (index === undefined) this.#fail(`unknown group name "${name}"`, position);
    if (index === 0) this.#fail("bad group number", position);
    this.#conditions.push({ index, position });
    const yes = this.#sequence(flags);
    const no = this.#take("|") ? this.#sequence(flags) : EMPTY;
    if (this.#peek() === "|") this.#fail("conditional backref with more than two branches");
    return this.#closed({ kind: "condition", index, yes, no }, position);
  }

  #look(flags: Flags, position: number, isBehind: boolean, negated: boolean): Node {
    const isOutermost = isBehind && this.#groupsBehind === undefined;
    if (isOutermost) this.#groupsBehind = this.#groups;
    const node = this.#closed(this.#either(flags), position);
    if (isOutermost) this.#groupsBehind = undefined;
    if (!isBehind) return { kind: "look", node, behind: undefined, negated };
    const behind = widthOf(node, this.#widths);
    if (behind === undefined) this.#fail("look-behind requires fixed-width pattern", position);
    return { kind: "look", node, behind, negated };
  }

  /** (?i:...), (?s-i:...). */
  #flagged(flags: Flags, position: number): Node {
    const letters = (test: RegExp): string => {
      let found = "";
      for (let char = this.#peek(); char !== undefined && test.test(char); char = this.#peek()) {
        found += char;
        this.#at++;
      }
      return found;
    };
    const on = letters(/[a-zA-Z]/);
    const hasOff = this.#take("-");
    const off = hasOff ? letters(/[a-zA-Z]/) : "";
    if (this.#peek() === ")" && on !== "" && !hasOff)
      this.#fail("global flags not at the start of the expression", position);
    if (!this.#take(":"))
      this.#fail(`unknown extension ?${on}${hasOff ? "-" : ""}${this.#peek() ?? ""}`, position);
    if (hasOff && off === "") this.#fail("missing flag", position);
    if (/[auL]/.test(off)) this.#fail("bad inline flags: cannot turn off flags 'a', 'u' and 'L'", position);
    const inner = { ...flags, ...this.#flagsOf(on, position) };
    if (on.includes("u")) inner.ascii = false;
    for (const [name, value] of Object.entries(this.#flagsOf(off, position)))
      if (value === true && isFlag(name)) {
        if (on !== "" && this.#flagsOf(on, position)[name] === true)
          this.#fail("bad inline flags: flag turned on and off", position);
        inner[name] = false;
      }
    return this.#closed(this.#either(inner), position);
  }

  #escape(flags: Flags, position: number): Node {
    const char = this.#peek();
    if (char === undefined) this.#fail("bad escape (end of pattern)", position);
    const place = placesOf(classesOf(flags))[char];
    const set = classOf(char, classesOf(flags));
    if (place !== undefined || set !== undefined) this.#at++;
    if (place !== undefined) return { kind: "place", holds: place };
    if (set !== undefined) return { kind: "char", has: set };
    const index = this.#backreferenceNumber(position);
    if (index !== undefined) return this.#reference(index, flags);
    return { kind: "char", has: literal(this.#escapedChar(position), casingOf(flags)) };
  }

  /** \1 to \99; \0 and three octal digits are characters. */
  #backreferenceNumber(position: number): number | undefined {
    const digits = /^([1-9])([0-9]?)([0-9]?)/.exec(this.#text.slice(this.#at, this.#at + 3).join(""));
    if (digits === null) return undefined;
    const [all, first = "", second = ""] = digits;
    if (/^[0-7]{3}$/.test(all)) return undefined;
    const index = Number(first + second);
    if (index > this.#groups) this.#fail(`invalid group reference ${index}`, position);
    this.#at += first.length + second.length;
    return index;
  }

  /** A character written as an escape, after the backslash. */
  #escapedChar(position: number): number {
    const char = this.#peek() ?? "";
    const octal = /^(0[0-7]{0,2}|[0-7]{3})/.exec(this.#text.slice(this.#at, this.#at + 3).join(""))?.[0];
    if (octal !== undefined) {
      this.#at += octal.length;
      const code = Number.parseInt(octal, 8);
      return code > 0o377
        ? this.#fail(`octal escape value \\${octal} outside of range 0-0o377`, position)
        : code;
    }
    this.#at++;
    const simple = Object.hasOwn(SIMPLE, char) ? SIMPLE[char] : undefined;
    if (simple !== undefined) return simple;
    const digits = { x: 2, u: 4, U: 8 }[char];
    if (digits !== undefined) return this.#hexadecimal(digits, position);
    if (char === "N") this.#fail("\\N{...}: names of characters are not known here", position);
    if (/[0-9a-zA-Z]/.test(char)) this.#fail(`bad escape \\${char}`, position);
    return codeOf(char);
  }

  #hexadecimal(digits: number, position: number): number {
    const text = this.#text.slice(this.#at, this.#at + digits).join("");
    if (!new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(text))
      this.#fail(`incomplete escape \\${text}`, position);
    this.#at += digits;
    const code = Number.parseInt(text, 16);
    return code > 0x10ffff ? this.#fail(`bad escape ${text}`, position) : code;
  }

  /** [...], after its bracket. */
  #class(flags: Flags, position: number): CharSet {
    const negated = this.#take("^");
    const sets: CharSet[] = [];
    for (let isFirst = true; isFirst || this.#peek() !== "]"; isFirst = false) {
      const at = this.#at;
      const from = this.#classItem(flags, position);
      if (this.#peek() !== "-" || this.#peek(1) === "]" || this.#peek(1) === undefined) {
        sets.push(typeof from === "number" ? literal(from, casingOf(flags)) : from);
        continue;
      }
      this.#at++;
      const to = this.#classItem(flags, position);
      if (typeof from !== "number" || typeof to !== "number" || to < from)
        this.#fail(`bad character range ${this.#text.slice(at, this.#at).join("")}`, at);
      sets.push(range(from, to, casingOf(flags)));
    }
    this.#at++;
    const has: CharSet = (char) => sets.some((set) => set(char));
    return negated ? complement(has) : has;
  }

  #classItem(flags: Flags, position: number): number | CharSet {
    const at = this.#at;
    const char = this.#peek() ?? this.#fail("unterminated character set", position);
    this.#at++;
    if (char !== "\\") return codeOf(char);
    const escaped = this.#peek() ?? this.#fail("bad escape (end of pattern)", at);
    const set = classOf(escaped, classesOf(flags));
    if (set === undefined && escaped !== "b") return this.#escapedChar(at);
    this.#at++;
    return set ?? 8; // backspace
  }
}

const LOOKS = [
  ["=", false, false],
  ["!", false, true],
  ["<=", true, false],
  ["<!", true, true],
] as const;

function codeOf(char: string): number {
  return char.codePointAt(0) ?? 0;
}
