import { describe, expect, it } from "vitest";
import { whisperGeneration } from "./config.js";
import { isTooRegular, meanLogProb } from "./fallback.js";
import { mustDetect, startTokens } from "./prompt.js";
import { segmentsOf } from "./segments.js";
import { timestampRule } from "./timestamps.js";
import { type DecodeWindows, transcribeWith } from "./transcribe.js";

// Vocabulary: 0 to 9 words, 10 end, 11 start, 12 and 13 languages, 14 and 15 tasks, 16 previous, 17 no
// speech, 18 no timestamps, 19 to 27 times.
const json = {
  ...{ eos_token_id: 10, pad_token_id: 10, decoder_start_token_id: 11, no_timestamps_token_id: 18 },
  ...{ prev_sot_token_id: 16, max_initial_timestamp_index: 3, is_multilingual: true, max_length: 12 },
  ...{ lang_to_id: { "<|en|>": 12, "<|hi|>": 13 }, task_to_id: { translate: 14, transcribe: 15 } },
};
const config = { model_type: "whisper", vocab_size: 28, max_target_positions: 24, max_source_positions: 8 };
const g = whisperGeneration(json, config)!;
const english = whisperGeneration(
  { ...json, is_multilingual: false, lang_to_id: null, task_to_id: null },
  config,
)!;

describe("the prompt", () => {
  it("names language and task, and that no times are wanted", () => {
    for (const language of ["hindi", "hi", "<|hi|>", "Hindi"])
      expect(startTokens(g, { language, timestamps: false })).toEqual([11, 13, 15, 18]);
    expect(startTokens(g, { language: "en", task: "translate", timestamps: true })).toEqual([11, 12, 14]);
    expect(startTokens(english, { timestamps: false })).toEqual([11, 18]);
  });

  it("has the language that was found where none is named, with what old files force", () => {
    expect(mustDetect(g, {})).toBe(true);
    expect(startTokens(g, { timestamps: false }, 12)).toEqual([11, 12, 18]);
    const old = whisperGeneration(
      {
        ...json,
        forced_decoder_ids: [
          [1, 13],
          [2, 14],
          [3, 18],
        ],
      },
      config,
    )!;
    expect(mustDetect(old, {})).toBe(false);
    expect(startTokens(old, { timestamps: true })).toEqual([11, 13, 14]);
    expect(startTokens(old, { language: "en", timestamps: false })).toEqual([11, 12, 15, 18]);
  });

  it("refuses what the model does not have, and names what was meant", () => {
    expect(() => startTokens(g, { language: "hindy", timestamps: false })).toThrow('language: "hindi"');
    expect(() => startTokens(g, { language: "german", timestamps: false })).toThrow("this model has en, hi");
    expect(() => startTokens(g, { language: "en", task: "sing", timestamps: false })).toThrow(
      "translate, transcribe",
    );
    expect(() => startTokens(english, { language: "hi", timestamps: false })).toThrow("knows English alone");
  });
});

describe("times", () => {
  const left = (said: number[], scores = new Float32Array(28)): number[] => {
    timestampRule(g, 4)(Int32Array.of(11, 12, 15, 18, ...said), scores, 0);
    return [...scores.keys()].filter((id) => scores[id] !== -Infinity);
  };

  it("come first, soon", () => expect(left([])).toEqual([19, 20, 21, 22]));
  it("are followed by words, and stand in pairs that never go back", () => {
    const words = new Float32Array(28).fill(0, 0, 18);
    words.fill(-9, 18);
    expect(left([20], words.slice())).toEqual([...Array(18).keys()]);
    expect(left([20, 3, 23], words.slice()).filter((id) => id >= 18)).toEqual([23, 24, 25, 26, 27]);
    expect(left([20, 3, 23], words.slice()).filter((id) => id < 10)).toEqual([]);
    expect(left([20, 3], words.slice()).filter((id) => id >= 18)).toEqual([21, 22, 23, 24, 25, 26, 27]);
  });
  it("come where all of them together are likelier than the likeliest word", () => {
    expect(left([20, 3])).toEqual([21, 22, 23, 24, 25, 26, 27]);
  });
});

describe("segments", () => {
  it("end at pairs of times; the next window begins at the last of them", () => {
    const { segments, done } = segmentsOf([19, 1, 21, 21, 2, 23, 23], 19, 16, 16);
    expect(segments.map(({ tokens }) => tokens)).toEqual([
      [19, 1, 21],
      [21, 2, 23, 23],
    ]);
    expect(segments.map(({ start }) => start.toFixed(2))).toEqual(["0.16", "0.20"]);
    expect(segments[1]!.end).toBeCloseTo(0.24);
    expect(done).toBe(8);
  });
  it("take the whole window where no pair ends it", () => {
    expect(segmentsOf([19, 1, 2, 23], 19, 0, 16).done).toBe(16);
    expect(segmentsOf([1, 2], 19, 0, 16).segments[0]).toMatchObject({ start: 0, end: 0.16, tokens: [1, 2] });
  });
});

describe("transcribing", () => {
  const recordings = { data: new Float32Array(2 * 38), shape: [1, 2, 38] };
  const starts: number[][] = [];
  const says =
    (...answers: number[][]): DecodeWindows =>
    async (_, rows) => {
      starts.push(...rows.map((row) => [...row]));
      return rows.map(() => answers.shift() ?? [10]);
    };

  it("goes on from the last pair of times, and ends on a window that would never end", async () => {
    starts.length = 0;
    const decode = says([19, 1, 22, 22, 10], [19, 19, 10], [19, 2, 10]);
    const [said] = await transcribeWith(g, recordings, { language: "en", returnTimestamps: true }, decode);
    expect(said!.ids).toEqual([19, 1, 22, 22, 19, 19, 19, 2]);
    expect(said!.segments.map(({ start }) => start.toFixed(2))).toEqual(["0.00", "0.06", "0.22"]);
    expect(starts).toEqual([
      [11, 12, 15],
      [11, 12, 15],
      [11, 12, 15],
    ]);
  });

  it("reads what was written before, and tries again at other temperatures", async () => {
    starts.length = 0;
    const settings = { language: "en", returnTimestamps: true, conditionOnPrevTokens: true } as const;
    await transcribeWith(g, recordings, settings, says([19, 1, 27, 27, 10], [19, 2, 10], [3, 10]));
    expect(starts[1]).toEqual([16, 19, 1, 27, 11, 12, 15]);
    const same = new Array<number>(40).fill(3);
    const fallback = { language: "en", temperatures: [0, 0.4], compressionRatioThreshold: 1.35 } as const;
    const short = { data: new Float32Array(2 * 8), shape: [1, 2, 8] };
    const [said] = await transcribeWith(g, short, fallback, says(same, [4, 10]));
    expect(said!.ids).toEqual([4]);
  });
});

it("a repetition shrinks; probabilities are means over the answer's tokens", () => {
  expect(isTooRegular(new Array(60).fill(7), 51865, 1.35)).toBe(true);
  expect(isTooRegular([5, 900, 31, 44444, 2], 51865, 1.35)).toBe(false);
  expect(meanLogProb([Float32Array.of(-1, -2), Float32Array.of(-4, -3)], [0, 1])).toBe(-2);
});
