import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { writeTinyModel } from "../../tests/support/tiny_model.js";
import type { Row } from "../data/row.js";
import { LoraConfig } from "../methods/lora_config.js";
import { pipeline } from "../pipelines/pipeline.js";
import { below, random } from "../random.js";
import { type SaidEvent, train } from "./train.js";

const RATE = 16_000;
const PITCH: Readonly<Record<string, number>> = { a: 400, b: 1700, c: 3900, " ": 0 };

/** Letters as tones of 20 milliseconds, with silence between them. */
function spoken(text: string): Float32Array {
  const length = 320;
  const wave = new Float32Array(2 * length * text.length);
  for (const [i, letter] of [...text].entries())
    for (let t = 0; t < length; t++)
      wave[2 * length * i + t] = Math.sin((2 * Math.PI * t * (PITCH[letter] ?? 0)) / RATE);
  return wave;
}

function clip(text: string, at: string): Row {
  return { kind: "speech", at, audio: { array: spoken(text), samplingRate: RATE }, text };
}

/** A model that hears, without a vocabulary, and a folder for what it learns. */
function folders(): { model: string; output: string } {
  const folder = mkdtempSync(join(tmpdir(), "peft-letters-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const model = join(folder, "model");
  writeTinyModel(model, "wav2vec2", {
    ...{ feature_extractor_type: "Wav2Vec2FeatureExtractor", feature_size: 1, sampling_rate: RATE },
    ...{ do_normalize: true, return_attention_mask: false, padding_value: 0 },
  });
  return { model, output: join(folder, "out") };
}

it("learns letters of clips, which the texts name, and reads them off a clip", async () => {
  const { model, output } = folders();
  const next = random(3);
  const text = (): string => Array.from({ length: 5 }, () => "abc "[below(next, 4)]).join("");
  const texts = Array.from({ length: 48 }, () => text().trim() || "a");
  const rows = texts.map((one, i) => clip(one, `row ${i}`));
  const targetModules = ["q_proj", "v_proj", "intermediate_dense", "output_dense"];
  const adapter = new LoraConfig({ r: 16, loraAlpha: 32, targetModules });
  const events: SaidEvent[] = [];
  const how = { epochs: 8, batchSize: 8, lr: 5e-3, seed: 1, validation: rows.slice(0, 8) } as const;
  for await (const event of train({ model, rows, output, adapter, taskType: "CTC", ...how }))
    events.push(event);
  expect(JSON.parse(readFileSync(join(output, "vocab.json"), "utf8"))).toEqual({
    ...{ "[PAD]": 0, a: 1, b: 2, c: 3, "|": 4, "[UNK]": 5 },
  });
  const losses = events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
  const mean = (some: readonly number[]): number => some.reduce((a, b) => a + b, 0) / some.length;
  expect(mean(losses.slice(-6))).toBeLessThan(mean(losses.slice(0, 6)) / 2);
  const evaluation = events.findLast((event) => event.type === "evaluation");
  expect(Object.keys(evaluation?.metrics ?? {}).sort()).toEqual(["cer", "wer"]);
  const said = await pipeline("automatic-speech-recognition", output);
  try {
    const sound = { array: spoken("ab ca"), samplingRate: RATE };
    const { text, chunks = [] } = await said(sound, { returnTimestamps: "char" });
    expect(chunks.map((chunk) => chunk.text).join("")).toContain(text);
    for (const { timestamp } of chunks) {
      expect(timestamp[1]).toBeGreaterThan(timestamp[0]);
      expect(timestamp[1]).toBeLessThanOrEqual(0.2);
    }
  } finally {
    await said.close();
  }
}, 120_000);
