import { isRecord } from "../narrow.js";
import type { AddedToken } from "./pipeline/added_tokens.js";
import { nextId, readAddedToken } from "./pipeline/added_tokens.js";
import type { Json } from "./pipeline/json.js";
import type { VocabModel } from "./pipeline/models.js";

/** The named special tokens, in transformers' order. */
export const specialNames = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] as const;
/** A special token by its name. */
export type SpecialName = (typeof specialNames)[number];
export type SpecialTokens = { [name in SpecialName]?: string };

/** A token's text, from a string or from the object that AddedToken is written as. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isRecord(value) && typeof value["content"] === "string" ? value["content"] : undefined;
}

/** The named special tokens of tokenizer_config.json, with the class's own where it says nothing. */
export function readSpecialTokens(config: Json, defaults: SpecialTokens): SpecialTokens {
  const out: SpecialTokens = {};
  for (const name of specialNames) {
    const value = config[`${name}_token`];
    const token = value === undefined ? defaults[name] : tokenText(value);
    if (token !== undefined) out[name] = token;
  }
  return out;
}

/**
 * Other special tokens: `additional_special_tokens`, `extra_special_tokens`, and keys like `image_token`.
 */
export function readExtraTokens(config: Json): { [name: string]: string } {
  const out: { [name: string]: string } = {};
  const lists = [config["additional_special_tokens"], config["extra_special_tokens"]];
  for (const list of lists) {
    const entries = Array.isArray(list) ? list.entries() : isRecord(list) ? Object.entries(list) : [];
    for (const [name, value] of entries) {
      const token = tokenText(value);
      if (token !== undefined) out[String(name)] = token;
    }
  }
  for (const [key, value] of Object.entries(config)) {
    const named = specialNames.some((name) => key === `${name}_token`);
    const token = tokenText(value);
    if (!named && key.endsWith("_token") && token !== undefined) out[key] = token;
  }
  return out;
}

/**
 * The values behind readSpecialTokens and readExtraTokens: strings, or objects that say how a token is
 * matched.
 */
export function specialValues(config: Json, special: SpecialTokens, extra: readonly string[]): unknown[] {
  const named = specialNames.map((name) => {
    const value = config[`${name}_token`];
    return isRecord(value) && tokenText(value) === special[name] ? value : special[name];
  });
  return [...named.filter((value) => value !== undefined), ...extra];
}

/** All added tokens by content: those of tokenizer.json, then those that only the configuration knows. */
export function collectAddedTokens(
  model: VocabModel,
  serialized: readonly AddedToken[],
  config: Json,
  special: readonly unknown[],
): Map<string, AddedToken> {
  const tokens = new Map<string, AddedToken>();
  for (const token of serialized) tokens.set(token.content, token);
  let next = nextId(serialized, model.vocab.size);
  const add = (token: AddedToken): void => {
    if (token.content === "" || tokens.has(token.content)) return;
    const id = model.vocab.get(token.content) ?? next;
    next = Math.max(next, id + 1);
    tokens.set(token.content, { ...token, id });
  };
  const decoder = isRecord(config["added_tokens_decoder"]) ? config["added_tokens_decoder"] : {};
  const named = new Set(special.map(tokenText));
  const ordered = Object.entries(decoder).sort(([a], [b]) => Number(a) - Number(b));
  for (const [, value] of ordered) {
    if (!isRecord(value)) continue;
    const token = readAddedToken(value, -1);
    add({ ...token, special: token.special || named.has(token.content) });
  }
  for (const value of special) {
    const content = tokenText(value);
    if (content === undefined) continue;
    add(isRecord(value) ? { ...readAddedToken(value, -1), special: true } : { ...plain, content });
  }
  return tokens;
}

const plain: Omit<AddedToken, "content"> = {
  id: -1,
  singleWord: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
};
