import { expectArgument } from "../arguments.js";
import { PeftError } from "../errors.js";
import { count, type Fault, type FaultParts } from "./faults.js";
import type { RecordSource } from "./record_source.js";
import type { DataRecord } from "./tables/table.js";
import { asValue, isObject, show } from "./tables/values.js";

/** A stream of the web, as far as it is read here: not every browser gives it an iterator. */
export interface WebStream {
  getReader(): {
    read(): Promise<{ done: boolean; value?: unknown }>;
    cancel(): Promise<unknown>;
  };
}

/**
 * Objects one after another: a list, a Set, a generator, a database's cursor, a stream of Node or of the web.
 */
export type RowGiver = Iterable<unknown> | AsyncIterable<unknown> | WebStream;

/** What rows are made of: objects, or a function that gives them anew whenever they are read. */
export type RowsGiven = RowGiver | (() => RowGiver | PromiseLike<RowGiver>);

/** What can be read once is kept up to so many rows, and up to so many characters of text in them. */
const mostKept = 100_000;
const mostKeptText = 2 ** 26;

const from = "what was given";

export const malformed: FaultParts = {
  what: (n: number): string => `${count(n, "item")} that cannot be a row`,
  why: "each row is an object with the columns as keys.",
  fix: "give objects, such as { text: ..., label: ... }.",
};

/** Opens what was given. What can be read once is read at once, and kept where it is small. */
export async function openGiven(given: RowsGiven): Promise<RecordSource> {
  if (typeof given === "function")
    return { from, malformed, isReplayable: true, records: () => recordsOf(given) };
  if (Array.isArray(given))
    return { from, malformed, isReplayable: true, records: () => recordsOf(() => given) };
  return keepFew(recordsOf(() => given));
}

/** All items of an iterable that gives them at once, as records. Throws "data" where it does not end soon. */
export function readGiven(given: Iterable<unknown>, limit: number = Infinity): (DataRecord | Fault)[] {
  const items: (DataRecord | Fault)[] = [];
  const isList = Array.isArray(given);
  try {
    for (const item of given) {
      items.push(recordOf(item, items.length + 1));
      if (items.length >= limit) break;
      if (!isList && items.length > 10 * mostKept) throw tooManyToKeep();
    }
  } catch (cause) {
    if (cause instanceof PeftError) throw cause;
    throw notRead(items.length + 1, cause);
  }
  return items;
}

/** Throws "option" where a source gives no objects. */
export function expectGiven(given: unknown): asserts given is RowsGiven {
  const isObject = typeof given === "object" && given !== null;
  expectArgument("rowsFrom", given, {
    is:
      typeof given === "function" ||
      (isObject && (isIterable(given) || Symbol.asyncIterator in given || "getReader" in given)),
    wants: "a list, an iterable or a stream of objects, or a function that gives one",
    fix:
      typeof given === "string"
        ? `read a file by its path: await loadDataset(${JSON.stringify(given.slice(0, 60))}).`
        : "give for example rowsFrom([{ text: ..., label: ... }]).",
  });
}

export function isIterable(given: unknown): given is Iterable<unknown> {
  return typeof given === "object" && given !== null && Symbol.iterator in given;
}

async function* recordsOf(given: () => RowGiver | PromiseLike<RowGiver>): AsyncGenerator<DataRecord | Fault> {
  let row = 0;
  let iterator: Steps | undefined;
  try {
    for (;;) {
      let step: Step;
      try {
        iterator ??= iteratorOf(await given());
        step = await iterator.next();
      } catch (cause) {
        iterator = undefined; // what has failed is not told to stop
        throw cause instanceof PeftError ? cause : notRead(row + 1, cause);
      }
      if (step.done) {
        iterator = undefined;
        return;
      }
      yield recordOf(step.value, ++row);
    }
  } finally {
    await iterator?.return?.();
  }
}

interface Step {
  readonly done?: boolean | undefined;
  readonly value?: unknown;
}

interface Steps {
  next(): Step | PromiseLike<Step>;
  return?(): unknown;
}

function iteratorOf(given: RowGiver): Steps {
  expectGiven(given);
  if (Symbol.asyncIterator in given) return given[Symbol.asyncIterator]();
  if (isIterable(given)) return given[Symbol.iterator]();
  const reader = given.getReader();
  return { next: () => reader.read(), return: () => reader.cancel() };
}

function recordOf(item: unknown, row: number): DataRecord | Fault {
  const at = `row ${row}`;
  const values = asValue(item);
  if (!isObject(values)) return { at, says: `${show(values)} is not an object` };
  return { at, values: Object.fromEntries(Object.entries(values).map(([name, v]) => [name, asValue(v)])) };
}

/** Records of what can be read once: kept where they are few, so that they can be read again. */
export async function keepFew(items: AsyncIterable<DataRecord | Fault>): Promise<RecordSource> {
  const walk = items[Symbol.asyncIterator]();
  const kept: (DataRecord | Fault)[] = [];
  for (let text = 0; kept.length < mostKept && text < mostKeptText; ) {
    const { done, value } = await walk.next();
    if (done) {
      async function* again(): AsyncGenerator<DataRecord | Fault> {
        yield* kept;
      }
      return { from, malformed, isReplayable: true, records: again };
    }
    kept.push(value);
    text += "values" in value ? lengthOf(value.values) : 0;
  }
  let isTaken = false;
  async function* once(): AsyncGenerator<DataRecord | Fault> {
    if (isTaken) throw readAlready();
    isTaken = true;
    yield* kept.splice(0);
    yield* { [Symbol.asyncIterator]: () => walk };
  }
  return { from, malformed, isReplayable: false, head: kept.slice(0, 1000), records: once };
}

/** Characters in a value, those of what lies in it too. */
function lengthOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (Array.isArray(value)) return value.reduce((n: number, item) => n + lengthOf(item), 8);
  return isObject(value) ? lengthOf(Object.values(value)) : 8;
}

const giveFunction = "give a function that opens it anew: rowsFrom(() => open(), { ... }).";

function notRead(row: number, cause: unknown): PeftError {
  return new PeftError("data", {
    what: `Row ${row} could not be read.`,
    why: `what gives the rows threw: ${cause instanceof Error ? cause.message : show(cause)}.`,
    fix: "mend what gives the rows, or catch its error there and leave the row out.",
    cause,
  });
}

function readAlready(): PeftError {
  return new PeftError("data", {
    what: "These rows were read already.",
    why: `what gives them (a generator, a stream, a cursor) can be read once, and has more than ${mostKept} rows or ${mostKeptText >> 20} MB of text, so they were not kept.`,
    fix: giveFunction,
  });
}

function tooManyToKeep(): PeftError {
  return new PeftError("data", {
    what: `An iterable with more than ${10 * mostKept} rows.`,
    why: "what gives rows without waiting is read at once and kept in memory, unless a function gives it.",
    fix: giveFunction,
  });
}
