import { join } from "node:path";
import { suppress, suppressAt } from "../../src/generate/processors.js";
import type { Rule } from "../../src/generate/rule.js";
import { whisperGeneration } from "../../src/generate/whisper/config.js";
import { timestampRule } from "../../src/generate/whisper/timestamps.js";
import { detectLanguages, type Transcript } from "../../src/generate/whisper/transcribe.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import type { TranscribeOptions } from "../../src/peft/transcribe.js";
import { transcribeBy } from "../../src/peft/transcribe.js";
import { cer, wordErrors } from "../../src/tasks/error_rates.js";
import { englishNormalizer, normalizeBasic } from "../../src/tasks/normalize_speech.js";
import { AutoTokenizer } from "../../src/tokenizers/auto.js";
import { json } from "./files.js";
import type { CaseResult } from "./result.js";
import { one, type Section } from "./section.js";
import type { Check, KitTensor } from "./tensors.js";
import { compare, Expected, equal, exact, readTensors } from "./tensors.js";

interface Said {
  readonly options: Readonly<Record<string, unknown>>;
  readonly generation_config?: Readonly<Record<string, unknown>>;
  readonly ids: readonly (readonly number[])[];
  readonly rows?: number;
  readonly segments?: readonly (readonly { start: number; end: number; tokens: number[] }[])[];
  readonly text?: readonly string[];
}

interface SpeechFile {
  readonly detected: readonly number[];
  readonly calls: Readonly<Record<string, Said>>;
}

type Json = Readonly<Record<string, unknown>>;

/** Every call of speech/generate.json on the tiny Whisper of models/whisper-text. */
export async function runSpeech(kit: string): Promise<CaseResult> {
  const folder = join(kit, "models", "whisper-text");
  const { calls, detected } = json<SpeechFile>(join(kit, "speech", "generate.json"));
  const inputs = await readTensors(join(kit, "speech", "inputs.safetensors"));
  const files = {
    own: json<Json>(join(folder, "generation_config.json")),
    config: json<Json>(join(folder, "config.json")),
  };
  await using model = await PreTrainedModel.load("SPEECH_SEQ_2_SEQ", folder);
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const checks: Check[] = [];
  for (const [name, said] of Object.entries(calls)) {
    const own = Object.fromEntries(
      Object.entries({ ...files.own, ...said.generation_config }).filter(([, value]) => value !== "absent"),
    );
    const g = whisperGeneration(own, files.config)!;
    const isLong = said.segments !== undefined;
    const recordings = recordingsOf(inputs, said, isLong);
    const ids = (text: string): number[] => tokenizer(` ${text}`, { addSpecialTokens: false }).inputIds[0]!;
    const prompt = (text: string): number[] => [g.previous!, ...ids(text)];
    const options = optionsOf(said.options, recordings.shape[0]!, prompt, isLong ? 14 : 20);
    const { rules, settings } = options;
    const generating = {
      generate: (
        input: Parameters<typeof model.generate>[0],
        more: Parameters<typeof model.generate>[1] = {},
      ) => model.generate(input, { ...more, rules: [...rules, ...(more.rules ?? [])] }),
    };
    const transcripts = await transcribeBy(g, generating, recordings, settings);
    checks.push(...transcriptChecks(name, transcripts, said, g.pad));
    if (said.text !== undefined)
      checks.push(
        equal(
          `text.${name}`,
          transcripts.map((t) => tokenizer.decode(t.ids, { skipSpecialTokens: true })),
          said.text,
        ),
      );
  }
  const g = whisperGeneration(files.own, files.config)!;
  const features = tensorOf(inputs.get("features")!);
  const found = await detectLanguages(g, features, async (windows, starts, settings, rules) =>
    model.generate({ columns: { inputFeatures: windows }, decoderInputIds: starts }, { ...settings, rules }),
  );
  checks.push(equal("detected", found, detected));
  return { checks };
}

function tensorOf({ shape, data }: KitTensor): { shape: number[]; data: Float32Array } {
  return { shape: [...shape], data: Float32Array.from(data) };
}

function recordingsOf(
  inputs: ReadonlyMap<string, KitTensor>,
  { options, rows }: Said,
  isLong: boolean,
): { shape: number[]; data: Float32Array; frames?: number[] } {
  if (!isLong) return tensorOf(inputs.get("features")!);
  const { shape, data } = tensorOf(inputs.get("long_features")!);
  const [, mels = 0, frames = 0] = shape;
  const part = { shape: [rows!, mels, frames], data: data.subarray(0, rows! * mels * frames) };
  if (options["masked"] !== true) return part;
  const mask = inputs.get("long_mask")!.data;
  const real = Array.from({ length: rows! }, (_, i) =>
    mask.subarray(i * frames, (i + 1) * frames).reduce((a, b) => a + b, 0),
  );
  return { ...part, frames: real };
}

function optionsOf(
  options: Said["options"],
  rows: number,
  prompt: (text: string) => number[],
  maxNewTokens: number,
): { settings: TranscribeOptions; rules: Rule[] } {
  const camel = (key: string): string => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const settings: Record<string, unknown> = { maxNewTokens };
  const rules: Rule[] = [];
  for (const [key, value] of Object.entries(options)) {
    if (key === "masked") continue;
    if (key === "sequence_bias")
      rules.push((_, scores) => {
        for (const [[id], bias] of value as [[number], number][]) scores[id] = scores[id]! + bias;
      });
    else if (key === "prompt_ids" && typeof value === "string") settings["promptIds"] = prompt(value);
    else if (key === "decoder_input_ids") settings["decoderInputIds"] = new Array(rows).fill(value);
    else if (key === "temperature") settings["temperatures"] = [value].flat();
    else settings[camel(key)] = value;
  }
  return { settings: settings as TranscribeOptions, rules };
}

function transcriptChecks(
  name: string,
  transcripts: readonly Transcript[],
  said: Said,
  pad: number,
): Check[] {
  const width = Math.max(...transcripts.map(({ ids }) => ids.length));
  const padded = transcripts.map(({ ids }) => [...ids, ...new Array(width - ids.length).fill(pad)]);
  const checks = [equal(`ids.${name}`, padded, said.ids)];
  if (said.segments === undefined) return checks;
  const round = (x: number): number => Math.round(x * 1e4) / 1e4;
  const got = transcripts.map(({ segments }) =>
    segments.map(({ start, end, tokens }) => ({ start: round(start), end: round(end), tokens })),
  );
  return [...checks, equal(`segments.${name}`, got, said.segments)];
}

/** Rules on scores: which are left, and which never come. */
export async function runSpeechRules(kit: string): Promise<CaseResult> {
  const expected = await Expected.open(join(kit, "speech", "rules.safetensors"));
  const folder = join(kit, "models", "whisper-text");
  const own = json<Json>(join(folder, "generation_config.json"));
  const g = whisperGeneration(own, json<Json>(join(folder, "config.json")))!;
  const scores = expected.get("scores")!;
  const [rows = 0, vocab = 0] = scores.shape;
  const checks: Check[] = [];
  const check = (key: string, ids: readonly number[], rule: Rule): void => {
    const data = Float32Array.from(scores.data);
    for (let row = 0; row < rows; row++)
      rule(Int32Array.from(ids), data.subarray(row * vocab, (row + 1) * vocab), 0);
    const finite = (x: ArrayLike<number>): number[] => Array.from(x, (y) => (y === -Infinity ? -1e9 : y));
    const wanted = expected.get(key)!;
    checks.push(
      compare(
        `rules.${key}`,
        { shape: scores.shape, data: finite(data) },
        { ...wanted, data: Float64Array.from(finite(wanted.data)) },
        1e-4,
      ),
    );
  };
  let last: number[] = [];
  for (const key of expected.keys.filter((one) => one.startsWith("ids."))) {
    const { data, shape } = expected.get(key)!;
    const ids = [...data.subarray(0, shape[1]!)];
    check(key.replace("ids.", "stamps."), ids, timestampRule(g, 3));
    last = ids;
  }
  check("suppress", last, suppress([1, 5, 9]));
  check("begin-suppress", last.slice(0, 3), suppressAt(3, [7, 8]));
  check("begin-suppress-later", last.slice(0, 4), suppressAt(3, [7, 8]));
  return {
    checks: [...checks, ...expected.unread.map((key) => exact(`unknown.${key}`, false, "nothing checks it"))],
  };
}

interface Strings {
  readonly strings: readonly {
    text: string;
    english: string;
    basic: string;
    basic_plain: string;
    ids: number[];
  }[];
}

/** Texts as Whisper's tokenizer and normalizers have them. */
export async function runSpeechTexts(kit: string): Promise<CaseResult> {
  const folder = join(kit, "models", "whisper-text");
  const english = englishNormalizer(json<Record<string, string>>(join(folder, "normalizer.json")));
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const checks = json<Strings>(join(kit, "speech", "text.json")).strings.flatMap((said) => [
    equal(`ids.${said.text}`, tokenizer(said.text, { addSpecialTokens: false }).inputIds[0], said.ids),
    equal(`english.${said.text}`, english(said.text), said.english),
    equal(`basic.${said.text}`, normalizeBasic(said.text), said.basic),
    equal(`plain.${said.text}`, normalizeBasic(said.text, { removeDiacritics: true }), said.basic_plain),
  ]);
  return { checks };
}

interface Rates {
  readonly pairs: readonly (Record<string, number> & {
    readonly reference: string;
    readonly hypothesis: string;
  })[];
  readonly all: Readonly<Record<string, number>>;
}

/** Error rates of words and characters, each pair and all together. */
export async function runErrorRates(kit: string): Promise<CaseResult> {
  const { pairs, all } = json<Rates>(join(kit, "metrics", "expect.json"));
  const near = (key: string, got: number, wanted: number | undefined): Check =>
    exact(key, Math.abs(got - (wanted ?? Number.NaN)) <= 1e-9, `${got}, not ${wanted}`);
  const check = (name: string, said: typeof pairs, wanted: Readonly<Record<string, unknown>>): Check[] => {
    const [written, truth] = [said.map((p) => p.hypothesis), said.map((p) => p.reference)];
    const got = { ...wordErrors(written, truth), cer: cer(written, truth) };
    return Object.entries(got)
      .filter(([key]) => key in wanted)
      .map(([key, value]) => near(`${key}.${name}`, value, Number(wanted[key])));
  };
  return {
    checks: [...pairs.flatMap((pair) => check(pair.reference, [pair], pair)), ...check("all", pairs, all)],
  };
}

/** Whisper's rules and its generation. */
export const speechSections: readonly Section[] = [
  one("speech/rules.safetensors", runSpeechRules),
  one("speech/generate.json", runSpeech),
  one("speech/text.json", runSpeechTexts),
  one("metrics/expect.json", runErrorRates),
];
