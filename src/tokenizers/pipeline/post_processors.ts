import { isRecord } from "../../narrow.js";
import { spaceAfter, spaceBefore } from "./aligned.js";
import type { Json } from "./json.js";
import {
  asArray,
  asId,
  asNumber,
  asObject,
  asString,
  booleanOr,
  fault,
  type PartTable,
  readPart,
  readParts,
} from "./json.js";

/** A token on its way out: its span in its own text, and which segment it belongs to. */
export type Token = {
  readonly id: number;
  /** Its text in the vocabulary, or in the text where it is an added token; trimming reads spaces off it. */
  readonly token: string;
  readonly start: number;
  readonly end: number;
  readonly typeId: number;
  /** True for tokens that the post-processor put in. */
  readonly added: boolean;
  /** Which text it is of: 0, or 1 for the second of a pair; undefined for added tokens. */
  readonly sequence?: number;
  /** Which pre-token of that text it is of, counted from 0; undefined for added tokens. */
  readonly word?: number;
};

export type PostProcessor = {
  /** Special tokens it adds to a single text, and to a pair. */
  added(pair: boolean): number;
  /** One list per text (first, and second if there is one) in; the same or one joined list out. */
  run(texts: readonly (readonly Token[])[], addSpecial: boolean): Token[][];
};

/** Reads the post-processor of tokenizer.json. Throws `tokenizer` for an unknown type. */
export function readPostProcessor(value: unknown, where: string): PostProcessor {
  return readPart(value, where, table) ?? { added: () => 0, run: (texts) => texts.map((t) => [...t]) };
}

const table: PartTable<PostProcessor> = {
  BertProcessing: (c, where) => bert(readPair(c, "cls", where), readPair(c, "sep", where)),
  ByteLevel: (c) => {
    const trim = booleanOr(c["trim_offsets"], true);
    const space = booleanOr(c["add_prefix_space"], true);
    return {
      added: () => 0,
      run: (texts) => texts.map((text) => (trim ? trimOffsets(text, space) : [...text])),
    };
  },
  RobertaProcessing: roberta,
  Sequence: (c, where) => {
    const steps = readParts(c, "processors", where, readPostProcessor);
    return {
      added: (pair) => steps.reduce((sum, step) => sum + step.added(pair), 0),
      run: (texts, addSpecial) =>
        steps.reduce(
          (lists, step) => checkLength(step.run(lists, addSpecial), texts, where),
          texts.map((t) => [...t]),
        ),
    };
  },
  TemplateProcessing: template,
};

/** Tokens that a post-processor may add at most; templates in a chain could double a text at each link. */
const MOST_ADDED = 10_000;

function checkLength(out: Token[][], texts: readonly (readonly Token[])[], where: string): Token[][] {
  const count = (lists: readonly (readonly Token[])[]): number =>
    lists.reduce((sum, list) => sum + list.length, 0);
  return count(out) > 2 * count(texts) + MOST_ADDED ? fault(where, "adds more than 10000 tokens") : out;
}

function special(token: string, id: number, typeId: number): Token {
  return { id, token, start: 0, end: 0, typeId, added: true };
}

function withType(tokens: readonly Token[], typeId: number): Token[] {
  return tokens.map((token) => ({ ...token, typeId }));
}

function readPair(c: Json, key: string, where: string): [string, number] {
  const pair = asArray(c[key], `${where}.${key}`);
  return [asString(pair[0], `${where}.${key}[0]`), asId(pair[1], `${where}.${key}[1]`)];
}

function bert(cls: [string, number], sep: [string, number]): PostProcessor {
  return {
    added: (pair) => (pair ? 3 : 2),
    run: (texts, addSpecial) => {
      if (!addSpecial) return texts.map((text) => [...text]);
      const [first = [], second] = texts;
      const out = [special(...cls, 0), ...withType(first, 0), special(...sep, 0)];
      if (second) out.push(...withType(second, 1), special(...sep, 1));
      return [out];
    },
  };
}

function roberta(c: Json, where: string): PostProcessor {
  const cls = readPair(c, "cls", where);
  const sep = readPair(c, "sep", where);
  const trim = booleanOr(c["trim_offsets"], true);
  const space = booleanOr(c["add_prefix_space"], true);
  return {
    added: (pair) => (pair ? 4 : 2),
    run: (texts, addSpecial) => {
      const lists = texts.map((text) => withType(trim ? trimOffsets(text, space) : text, 0));
      if (!addSpecial) return lists;
      const [first = [], second] = lists;
      const out = [special(...cls, 0), ...first, special(...sep, 0)];
      if (second) out.push(special(...sep, 0), ...second, special(...sep, 0));
      return [out];
    },
  };
}

type Slot = { sequence: 0 | 1; typeId: number } | { tokens: [string, number][]; typeId: number };

function template(c: Json, where: string): PostProcessor {
  const specials = new Map(Object.entries(isRecord(c["special_tokens"]) ? c["special_tokens"] : {}));
  const slot = (item: unknown, at: string): Slot => readSlot(item, specials, at, where);
  const single = readParts(c, "single", where, slot);
  const pair = readParts(c, "pair", where, slot);
  const count = (slots: readonly Slot[]): number =>
    slots.reduce((sum, slot) => sum + ("tokens" in slot ? slot.tokens.length : 0), 0);
  for (const slots of [single, pair]) {
    if (slots.length + count(slots) > MOST_ADDED) fault(where, "adds more than 10000 tokens");
  }
  return {
    added: (isPair) => count(isPair ? pair : single),
    run: (texts, addSpecial) => {
      const out = (texts.length > 1 ? pair : single).flatMap((slot) => {
        if ("sequence" in slot) return withType(texts[slot.sequence] ?? [], slot.typeId);
        return addSpecial ? slot.tokens.map(([token, id]) => special(token, id, slot.typeId)) : [];
      });
      return [out];
    },
  };
}

function readSlot(value: unknown, specials: ReadonlyMap<string, unknown>, at: string, where: string): Slot {
  const item = asObject(value, at);
  const sequence = item["Sequence"];
  const body = asObject(sequence ?? item["SpecialToken"], at);
  const typeId = asNumber(body["type_id"], `${at}.type_id`);
  const id = asString(body["id"], `${at}.id`);
  if (sequence !== undefined) return { sequence: id === "B" ? 1 : 0, typeId };
  const special = `${where}.special_tokens[${JSON.stringify(id)}]`;
  const config = asObject(specials.get(id), special);
  const names = asArray(config["tokens"], `${special}.tokens`);
  const ids = asArray(config["ids"], `${special}.ids`);
  if (ids.length > MOST_ADDED) fault(`${special}.ids`, "holds more than 10000 tokens");
  const tokens = readParts(config, "ids", special, asId).map((tokenId, i): [string, number] => [
    asString(names[i], `${special}.tokens[${i}]`),
    tokenId,
  ]);
  return { tokens, typeId };
}

/** Takes the spaces at a byte-level token's ends out of its span. */
function trimOffsets(tokens: readonly Token[], prefixSpace: boolean): Token[] {
  return tokens.map((token, i) => {
    const plain = token.token.replaceAll("\u0120", " ");
    let leading = spaceAfter(plain, 0);
    const trailing = plain.length - spaceBefore(plain, plain.length);
    let { start, end } = token;
    if (leading > 0) {
      if (prefixSpace && (i === 0 || start === 0)) leading -= 1;
      start = Math.min(start + leading, end);
    }
    if (trailing > 0 && end >= trailing) end = Math.max(end - trailing, start);
    return { ...token, start, end };
  });
}
