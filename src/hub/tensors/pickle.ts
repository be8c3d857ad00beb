import { PeftError } from "../../errors.js";

/** A class or function that a pickle names. It is a name, nothing is looked up. */
export interface PickleGlobal {
  readonly global: string;
}
/**
 * What a pickle may hold here: plain data, names, and whatever `reader` makes of calls and persistent
 * ids.
 */
export type PickleValue<T> =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleGlobal
  | PickleValue<T>[]
  | Map<PickleValue<T>, PickleValue<T>>
  | { readonly made: T };

/** Decides what the few calls mean that a pickle may make. Both throw for what they do not know. */
export interface PickleReader<T> {
  /** REDUCE: `name(...args)`. */
  call(name: string, args: PickleValue<T>[]): PickleValue<T>;
  /** BINPERSID: an object kept outside the pickle. */
  persistent(id: PickleValue<T>): PickleValue<T>;
}

/** The bytes ended before the pickle did; whoever holds only a part of the file may come again with more. */
export class PickleEnd extends Error {}

interface State<T> {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly path: string;
  readonly reader: PickleReader<T>;
  readonly stack: Item<T>[];
  readonly memo: Map<number, Item<T>>;
  at: number;
}
type Item<T> = PickleValue<T> | typeof mark;
const mark = Symbol("mark");

/**
 * Reads one pickle (protocols 2 to 5) from `bytes` at `start`, without executing anything: calls and
 * persistent ids
 * go to `reader`, every opcode that plain data do not need is refused (file-format).
 * Reference: https://github.com/python/cpython/blob/main/Lib/pickletools.py
 */
export function readPickle<T>(
  bytes: Uint8Array,
  start: number,
  path: string,
  reader: PickleReader<T>,
): { value: PickleValue<T>; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const state: State<T> = { bytes, view, path, reader, stack: [], memo: new Map(), at: start };
  for (let step = 0; step < MAX_STEPS; step++) {
    const code = u8(state);
    if (code === 0x2e) return { value: pop(state), end: state.at }; // STOP
    const action = opcodes[code];
    if (action === undefined) {
      throw refusedPickle(
        path,
        `opcode 0x${code.toString(16)} at byte ${state.at - 1} is not one that tensors need`,
      );
    }
    action(state as State<unknown>);
  }
  throw refusedPickle(path, `it takes more than ${MAX_STEPS} steps to read`);
}

/**
 * Opcodes of one pickle: a tensor takes about 60. Each makes at most as much as its own bytes, so that memory
 * is bounded too.
 */
const MAX_STEPS = 20_000_000;

/**
 * A value in an error's words. What holds others is not opened: it may hold itself, or one thing twice, 1000
 * levels deep.
 */
export function describe<T>(value: PickleValue<T> | undefined): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return "a dictionary";
  return typeof value === "object" && value !== null ? "an object" : `${value}`;
}

/** The error for a pickle that asks for more than tensors. */
export function refusedPickle(path: string, why: string): PeftError {
  return new PeftError("file-format", {
    what: `"${path}" is refused; nothing in it was executed.`,
    why: `${why}.`,
    fix: "use the model's .safetensors file, or save its state_dict() alone again with torch.save.",
  });
}

function take<T>(state: State<T>, length: number): number {
  const at = state.at;
  if (at + length > state.bytes.byteLength) throw new PickleEnd(`"${state.path}" ends inside a pickle`);
  state.at += length;
  return at;
}

const u8 = <T>(s: State<T>): number => s.view.getUint8(take(s, 1));
const u16 = <T>(s: State<T>): number => s.view.getUint16(take(s, 2), true);
const i32 = <T>(s: State<T>): number => s.view.getInt32(take(s, 4), true);
const u32 = <T>(s: State<T>): number => s.view.getUint32(take(s, 4), true);
const u64 = <T>(s: State<T>): number => Number(s.view.getBigUint64(take(s, 8), true));

function slice<T>(state: State<T>, length: number): Uint8Array {
  const at = take(state, length);
  return state.bytes.subarray(at, at + length);
}

const text = <T>(state: State<T>, length: number): string => new TextDecoder().decode(slice(state, length));

function line<T>(state: State<T>): string {
  const end = state.bytes.indexOf(0x0a, state.at);
  if (end < 0) throw new PickleEnd(`"${state.path}" ends inside a pickle`);
  const value = text(state, end - state.at);
  state.at = end + 1;
  return value;
}

/** A little-endian two's complement integer of any length. */
function long<T>(state: State<T>, length: number): number | bigint {
  const bytes = slice(state, length);
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  const signed = BigInt.asIntN(length * 8, value);
  return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
}

function push<T>(state: State<T>, value: Item<T>): void {
  state.stack.push(value);
}

function pop<T>(state: State<T>): PickleValue<T> {
  const value = state.stack.pop();
  if (value === undefined || value === mark)
    throw refusedPickle(state.path, "its stack is empty where a value is due");
  return value as PickleValue<T>;
}

function popToMark<T>(state: State<T>): PickleValue<T>[] {
  const at = state.stack.lastIndexOf(mark);
  if (at < 0) throw refusedPickle(state.path, "a mark is missing on its stack");
  const items = state.stack.splice(at) as PickleValue<T>[];
  return items.slice(1);
}

function peek<T>(state: State<T>): Item<T> {
  const value = state.stack.at(-1);
  if (value === undefined) throw refusedPickle(state.path, "its stack is empty where a value is due");
  return value;
}

function recall<T>(state: State<T>, index: number): void {
  const value = state.memo.get(index);
  if (value === undefined) throw refusedPickle(state.path, `it recalls object ${index}, which it never kept`);
  push(state, value);
}

function setItems<T>(state: State<T>, items: PickleValue<T>[]): void {
  const target = peek(state);
  if (!(target instanceof Map))
    throw refusedPickle(state.path, "it sets an item of something that is no dictionary");
  for (let i = 0; i + 1 < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
}

function append<T>(state: State<T>, items: PickleValue<T>[]): void {
  const target = peek(state);
  if (!Array.isArray(target)) throw refusedPickle(state.path, "it appends to something that is no list");
  for (const item of items) target.push(item);
}

function reduce<T>(state: State<T>): void {
  const args = pop(state);
  const callee = pop(state);
  if (!isGlobal(callee) || !Array.isArray(args))
    throw refusedPickle(state.path, "it calls something that is no name");
  push(state, state.reader.call(callee.global, args));
}

/** Objects may carry attributes (an OrderedDict its `_metadata`): they are read and left aside. */
function build<T>(state: State<T>): void {
  const attributes = pop(state);
  if (!(peek(state) instanceof Map) || !(attributes instanceof Map)) {
    throw refusedPickle(state.path, "it sets the state of an object that is no dictionary");
  }
}

function stackGlobal<T>(state: State<T>): void {
  const name = pop(state);
  const module = pop(state);
  if (typeof name !== "string" || typeof module !== "string")
    throw refusedPickle(state.path, `it names a global by ${describe(module)} and ${describe(name)}`);
  push(state, { global: `${module}.${name}` });
}

function isGlobal<T>(value: PickleValue<T>): value is PickleGlobal {
  return typeof value === "object" && value !== null && "global" in value;
}

function dictionary<T>(state: State<T>): void {
  const items = popToMark(state);
  push(state, new Map());
  setItems(state, items);
}

function tuple<T>(state: State<T>, length: number): void {
  const items = Array.from({ length }, () => pop(state)).reverse();
  push(state, items);
}

type Action = (state: State<unknown>) => void;
/** Opcode to what it does. What is absent is refused. */
const opcodes: Readonly<Record<number, Action>> = {
  128: (s) => protocol(s), // PROTO
  149: (s) => void u64(s), // FRAME
  40: (s) => push(s, mark), // MARK
  48: (s) => void s.stack.pop(), // POP
  49: (s) => void popToMark(s), // POP_MARK
  78: (s) => push(s, null), // NONE
  136: (s) => push(s, true), // NEWTRUE
  137: (s) => push(s, false), // NEWFALSE
  75: (s) => push(s, u8(s)), // BININT1
  77: (s) => push(s, u16(s)), // BININT2
  74: (s) => push(s, i32(s)), // BININT
  138: (s) => push(s, long(s, u8(s))), // LONG1
  71: (s) => push(s, s.view.getFloat64(take(s, 8))), // BINFLOAT, big-endian
  85: (s) => push(s, text(s, u8(s))), // SHORT_BINSTRING, from Python 2
  84: (s) => push(s, text(s, u32(s))), // BINSTRING
  140: (s) => push(s, text(s, u8(s))), // SHORT_BINUNICODE
  88: (s) => push(s, text(s, u32(s))), // BINUNICODE
  141: (s) => push(s, text(s, u64(s))), // BINUNICODE8
  67: (s) => push(s, slice(s, u8(s))), // SHORT_BINBYTES
  66: (s) => push(s, slice(s, u32(s))), // BINBYTES
  93: (s) => push(s, []), // EMPTY_LIST
  41: (s) => push(s, []), // EMPTY_TUPLE
  125: (s) => push(s, new Map()), // EMPTY_DICT
  108: (s) => push(s, popToMark(s)), // LIST
  116: (s) => push(s, popToMark(s)), // TUPLE
  100: dictionary, // DICT
  133: (s) => tuple(s, 1), // TUPLE1
  134: (s) => tuple(s, 2), // TUPLE2
  135: (s) => tuple(s, 3), // TUPLE3
  97: (s) => append(s, [pop(s)]), // APPEND
  101: (s) => append(s, popToMark(s)), // APPENDS
  115: (s) => setItems(s, [pop(s), pop(s)].reverse()), // SETITEM
  117: (s) => setItems(s, popToMark(s)), // SETITEMS
  113: (s) => void s.memo.set(u8(s), peek(s)), // BINPUT
  114: (s) => void s.memo.set(u32(s), peek(s)), // LONG_BINPUT
  148: (s) => void s.memo.set(s.memo.size, peek(s)), // MEMOIZE
  104: (s) => recall(s, u8(s)), // BINGET
  106: (s) => recall(s, u32(s)), // LONG_BINGET
  99: (s) => push(s, { global: `${line(s)}.${line(s)}` }), // GLOBAL
  147: stackGlobal, // STACK_GLOBAL
  81: (s) => push(s, s.reader.persistent(pop(s))), // BINPERSID
  82: reduce, // REDUCE
  98: build, // BUILD
};

function protocol(state: State<unknown>): void {
  const version = u8(state);
  if (version > 5) throw refusedPickle(state.path, `it is a pickle of protocol ${version}, known are 2 to 5`);
}
