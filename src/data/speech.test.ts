import { writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { changedSound } from "../processors/sound/augment.js";
import { collate } from "./collate.js";
import { encodeRows } from "./encode.js";
import { lettersOfRows } from "./letter_vocabulary.js";
import { loadDataset } from "./load.js";
import type { TokenizerLike } from "./types.js";

/** Special tokens have ids from 100 on, letters their codes. */
const special = ["<|hi|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>", "<|0.00|>", "<|1.50|>"];
const tokenizer: TokenizerLike = Object.assign(
  (text: string | string[]) => {
    const ids: number[] = [];
    for (let rest = String(text); rest !== ""; ) {
      const found = special.findIndex((token) => rest.startsWith(token));
      ids.push(found < 0 ? rest.charCodeAt(0) - 32 : 200 + found);
      rest = rest.slice(special[found]?.length ?? 1);
    }
    return { inputIds: [ids], attentionMask: [ids.map(() => 1)] };
  },
  { decode: () => "", paddingSide: "right" as const, eosTokenId: 99, padTokenId: 99 },
);

async function rowsOf(table: string, options: Parameters<typeof loadDataset>[1] = {}) {
  const folder = await mkdtemp(join(tmpdir(), "peft-speech-"));
  writeFileSync(join(folder, "clips.tsv"), table);
  return { folder, rows: await loadDataset(join(folder, "clips.tsv"), { warn: () => {}, ...options }) };
}

it("reads Common Voice's tables: paths beside the file, a language each", async () => {
  const { folder, rows } = await rowsOf("path\tsentence\tlocale\na.mp3\tab\thi\n", {
    taskType: "SPEECH_SEQ_2_SEQ",
  });
  expect(rows[0]).toMatchObject({ kind: "speech", audio: `${folder}/a.mp3`, text: "ab", language: "hi" });
});

it("makes labels of language, task and text, without the start that the decoder is fed with", async () => {
  const { rows } = await rowsOf("audio\ttext\na.wav\tAB\nb.wav\t<|0.00|>A<|1.50|>\n", { language: "hindi" });
  const options = { tokenizer, task: "SPEECH_SEQ_2_SEQ", maxLength: 20 } as const;
  const labels = encodeRows(rows, options).samples.map((sample) => [...sample.labels]);
  expect(labels).toEqual([
    [200, 201, 203, 33, 34, 99],
    [200, 201, 204, 33, 205, 99],
  ]);
  const translated = rows.map((row) => (row.kind === "speech" ? { ...row, isTranslated: true } : row));
  expect([...(encodeRows(translated, options).samples[0]?.labels ?? [])].slice(0, 3)).toEqual([
    200, 202, 203,
  ]);
  const german = rows.map((row) => (row.kind === "speech" ? { ...row, language: "german" } : row));
  expect(() => encodeRows(german, options)).toThrow(
    'language "german", for which the model\'s tokenizer has no token',
  );
  expect(encodeRows(rows, { ...options, maxLength: 5 }).report.labelsCut).toBe(2);
});

it("makes letters of texts for CTC, by a vocabulary of the texts' own, padded with -100", async () => {
  const { rows } = await rowsOf("audio\ttext\na.wav\tb aa\nb.wav\tb\n", { taskType: "CTC" });
  const tokenizer = await lettersOfRows(rows);
  const { samples, report } = encodeRows(rows, { tokenizer, task: "CTC" });
  expect(collate(samples, { padTokenId: 0 }).labels).toEqual({
    data: Int32Array.of(2, 3, 1, 1, 2, -100, -100, -100),
    shape: [2, 4],
  });
  expect(report.notes).toEqual([]);
  const other = rows.map((row) => (row.kind === "speech" ? { ...row, text: "B" } : row));
  const { notes } = encodeRows(other, { tokenizer, task: "CTC" }).report;
  expect(notes).toEqual([expect.stringContaining('as its unknown token: "B" of "B"')]);
});

it("takes clips with labels as rows to be classified", async () => {
  const { rows } = await rowsOf("audio\tlabel\na.wav\tdog\nb.wav\tcat\n", { taskType: "AUDIO_CLS" });
  expect(rows).toMatchObject([
    { kind: "sound", labels: [1], labelNames: ["cat", "dog"] },
    { kind: "sound", labels: [0] },
  ]);
});

it("changes sound by its key alone", () => {
  const tone = Float32Array.from({ length: 1600 }, (_, i) => 0.5 * Math.sin(i / 5));
  const changed = (key: number): Float32Array => changedSound(tone, ["speed", "noise", "gain"], key);
  expect(changed(7)).toEqual(changed(7));
  expect(changed(7)).not.toEqual(changed(8));
  expect(changedSound(tone, [], 7)).toEqual(tone);
  const lengths = new Set(Array.from({ length: 20 }, (_, key) => changedSound(tone, ["speed"], key).length));
  expect(lengths).toEqual(new Set([1600, 1778, 1455]));
});
