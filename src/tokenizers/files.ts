import { PeftError } from "../errors.js";
import { isRecord } from "../narrow.js";
import { readBoxes } from "./boxes.js";
import type { ChatTemplates } from "./chat.js";
import type { TokenizerClass } from "./classes.js";
import { tokenizerClass } from "./classes.js";
import type { Side } from "./encode.js";
import { fromVocabAndMerges, fromVocabTxt, legacyPostProcessor } from "./legacy_vocab.js";
import { fromLetters, type LetterRules, letterRules, withoutDelimiter } from "./letters.js";
import type { AddedToken } from "./pipeline/added_tokens.js";
import { readAddedToken } from "./pipeline/added_tokens.js";
import type { Json } from "./pipeline/json.js";
import { asId, asObject, booleanOr, numberOr, parseJson, shown, stringOr } from "./pipeline/json.js";
import { readModel } from "./pipeline/models.js";
import { makePipeline } from "./pipeline/pipeline.js";
import type { ReadBytes, ReadText, TokenizerFiles } from "./saved_files.js";
import { fromSentencePiece } from "./sentencepiece.js";
import type { SpecialTokens } from "./special_tokens.js";
import { collectAddedTokens, readExtraTokens, readSpecialTokens, specialValues } from "./special_tokens.js";
import type { TemplateSource } from "./template.js";
import type { Tokenizer } from "./tokenizer.js";
import { makeTokenizer, noLimit } from "./tokenizer.js";

/** Everything that a tokenizer may be made from; a folder holds some of it. */
export const tokenizerFileNames: readonly string[] = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "chat_template.jinja",
  "chat_template.json",
  "config.json",
  "spiece.model",
  "tokenizer.model",
  "sentencepiece.bpe.model",
];

const sentencePieceNames = tokenizerFileNames.filter((name) => name.endsWith(".model"));

/** What errors call a file of a folder: its path. */
export type FileName = (name: string) => string;

/** Builds a tokenizer from a folder's files. Throws `tokenizer` where there are none that will do. */
export async function tokenizerFromFiles(
  read: ReadText,
  at: FileName = (name) => name,
  readBytes: ReadBytes = async () => undefined,
): Promise<Tokenizer> {
  const readJson = async (name: string): Promise<Json> => {
    const text = await read(name);
    return text === undefined ? {} : parseJson(text, at(name));
  };
  const config = await readConfig(readJson, at);
  const modelConfig = await readJson("config.json");
  const className = stringOr(config["tokenizer_class"], stringOr(modelConfig["tokenizer_class"], undefined));
  const kind = tokenizerClass(className, stringOr(modelConfig["model_type"], undefined));
  const special = readSpecialTokens(config, kind.special);
  const saved = await read("tokenizer.json");
  const json =
    saved === undefined
      ? await fromLegacyFiles({ read, at, readBytes }, config, kind, special, className)
      : parseJson(saved, at("tokenizer.json"));
  const isPieces = isRecord(json["model"]) && json["model"]["type"] === "Unigram";
  const legacy = saved === undefined && !isPieces ? kind.legacy : undefined;
  const withPad = padFromJson(special, json);
  const isLetters = legacy === "letters";
  return assemble(json, at, {
    config: isLetters ? withoutDelimiter(config) : config,
    letters: isLetters ? letterRules(config, withPad) : undefined,
    kind,
    special: withPad,
    templates: await readTemplates(read, at, config),
    legacy,
    files: { read, readBytes, names: tokenizerFileNames },
  });
}

/**
 * tokenizer_config.json, with what older repositories keep in special_tokens_map.json and
 * added_tokens.json.
 */
async function readConfig(readJson: (name: string) => Promise<Json>, at: FileName): Promise<Json> {
  const config = await readJson("tokenizer_config.json");
  if (isRecord(config["added_tokens_decoder"])) return config;
  const added: { [id: string]: Json } = {};
  const map = await readJson("special_tokens_map.json");
  const merged: Json = { ...config, ...map };
  const special = new Set(Object.values(readSpecialTokens(merged, {})));
  for (const token of Object.values(readExtraTokens(merged))) special.add(token);
  for (const [content, id] of Object.entries(await readJson("added_tokens.json"))) {
    const known = special.has(content);
    const key = String(asId(id, `${at("added_tokens.json")}: id of ${shown(content)}`));
    added[key] = { content, special: known, normalized: !known };
  }
  const contents = new Set(Object.values(added).map((token) => token["content"]));
  for (const value of Object.values(map)) {
    if (!isRecord(value) || typeof value["content"] !== "string" || contents.has(value["content"])) continue;
    added[String(1e9 + contents.size)] = { ...value, special: true };
    contents.add(value["content"]);
  }
  return { ...merged, added_tokens_decoder: added };
}

async function fromLegacyFiles(
  { read, at, readBytes }: { read: ReadText; at: FileName; readBytes: ReadBytes },
  config: Json,
  kind: TokenizerClass,
  special: SpecialTokens,
  className: string | undefined,
): Promise<Json> {
  const [vocabTxt, vocabJson, merges] = await Promise.all(
    ["vocab.txt", "vocab.json", "merges.txt"].map(read),
  );
  if (kind.legacy === "bert" && vocabTxt !== undefined) return fromVocabTxt(vocabTxt, config, special);
  if (kind.legacy === "letters" && vocabJson !== undefined)
    return fromLetters(parseJson(vocabJson, at("vocab.json")), config, special, at("vocab.json"));
  const byteLevel = kind.legacy === "gpt2" || kind.legacy === "roberta";
  if (byteLevel && vocabJson !== undefined && merges !== undefined) {
    return fromVocabAndMerges(parseJson(vocabJson, at("vocab.json")), merges, config);
  }
  for (const name of sentencePieceNames) {
    const bytes = await readBytes(name);
    if (bytes !== undefined) return fromSentencePiece(bytes, kind.pieces, config, special, at(name));
  }
  const present: string[] = [];
  const others = Object.entries({ "vocab.txt": vocabTxt, "vocab.json": vocabJson, "merges.txt": merges });
  present.push(...others.filter(([, text]) => text !== undefined).map(([name]) => name));
  return unusable(present, className, at);
}

function unusable(present: readonly string[], className: string | undefined, at: FileName): never {
  const convert = `python -c "from transformers import AutoTokenizer as T; T.from_pretrained('FOLDER').save_pretrained('FOLDER')"`;
  if (present.length === 0) {
    throw new PeftError("tokenizer", {
      what: `${at("tokenizer.json")} is not there.`,
      why: "the folder has no vocab.json with merges.txt and no vocab.txt either.",
      fix: "save one into it with Python: tokenizer.save_pretrained(folder).",
    });
  }
  throw new PeftError("tokenizer", {
    what: `${at("tokenizer.json")} is not there, only ${present.join(", ")}.`,
    why: `how ${className ?? "its class"} uses these files is not known here.`,
    fix: `write tokenizer.json once, with Python (pip install transformers sentencepiece protobuf): ${convert}`,
  });
}

/** tokenizer.json may carry a padding of its own, with a padding token. */
function padFromJson(special: SpecialTokens, json: Json): SpecialTokens {
  const padding = isRecord(json["padding"]) ? json["padding"] : {};
  const pad = special.pad ?? stringOr(padding["pad_token"], undefined);
  return pad === undefined ? special : { ...special, pad };
}

interface Parts {
  readonly config: Json;
  readonly kind: TokenizerClass;
  readonly special: SpecialTokens;
  readonly templates: ChatTemplates;
  readonly legacy: TokenizerClass["legacy"];
  readonly letters: LetterRules | undefined;
  readonly files: TokenizerFiles;
}

function assemble(
  json: Json,
  at: FileName,
  { config, kind, special, templates, legacy, letters, files }: Parts,
): Tokenizer {
  const file = at("tokenizer.json");
  const model = readModel(json["model"], `${file}: model`);
  const extraSpecial = readExtraTokens(config);
  const values = specialValues(config, special, Object.values(extraSpecial));
  const added = collectAddedTokens(model, readSerialized(json, file), config, values);
  const idOf = (token: string): number | undefined => added.get(token)?.id ?? model.vocab.get(token);
  const post =
    legacy === undefined ? json["post_processor"] : legacyPostProcessor(legacy, config, special, idOf);
  return makeTokenizer({
    files,
    letters,
    pipeline: makePipeline(json, model, added, { post, file }),
    special,
    extraSpecial,
    templates,
    modelMaxLength: numberOr(config["model_max_length"], numberOr(config["max_len"], noLimit)),
    paddingSide: readSide(config["padding_side"], json["padding"], kind.paddingSide),
    truncationSide: readSide(config["truncation_side"], json["truncation"], "right"),
    tokenTypeIds: wantsTypeIds(config, kind),
    boxes: readBoxes(config, kind.boxes),
    cleanUpSpaces: booleanOr(config["clean_up_tokenization_spaces"], false),
  });
}

function readSerialized(json: Json, file: string): AddedToken[] {
  const tokens = Array.isArray(json["added_tokens"]) ? json["added_tokens"] : [];
  return tokens.map((value: unknown) => {
    const token = asObject(value, `${file}: an entry of added_tokens`);
    return readAddedToken(token, asId(token["id"], `${file}: added_tokens' id`));
  });
}

function readSide(value: unknown, serialized: unknown, otherwise: Side): Side {
  const saved = isRecord(serialized) ? serialized["direction"] : undefined;
  const side = stringOr(value, stringOr(saved, otherwise)).toLowerCase();
  return side === "left" || side === "right" ? side : otherwise;
}

function wantsTypeIds(config: Json, kind: TokenizerClass): boolean {
  const names = config["model_input_names"];
  return Array.isArray(names) ? names.includes("token_type_ids") : kind.tokenTypeIds;
}

/** Templates: chat_template.jinja, else chat_template.json, else those of tokenizer_config.json. */
async function readTemplates(read: ReadText, at: FileName, config: Json): Promise<ChatTemplates> {
  const named = namedTemplates(config, at("tokenizer_config.json"));
  const own = await read("chat_template.jinja");
  if (own !== undefined)
    return new Map([...named, ["default", { text: own, where: at("chat_template.jinja") }]]);
  const file = await read("chat_template.json");
  if (file === undefined) return named;
  const where = at("chat_template.json");
  return namedTemplates(parseJson(file, where), where);
}

function namedTemplates(config: Json, file: string): Map<string, TemplateSource> {
  const value = config["chat_template"];
  const entries = Array.isArray(value)
    ? value.filter(isRecord).map((entry) => [entry["name"], entry["template"]] as const)
    : Object.entries(isRecord(value) ? value : { default: value });
  const out = new Map<string, TemplateSource>();
  for (const [name, text] of entries) {
    if (typeof name !== "string" || typeof text !== "string") continue;
    const where = typeof value === "string" ? `${file}: chat_template` : `${file}: chat_template.${name}`;
    out.set(name, { text, where });
  }
  return out;
}
