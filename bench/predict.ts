import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForSequenceClassification, loadDataset, pipeline } from "../src/index.js";
import type { LoadOptions } from "../src/peft/base_model.js";
import { random, uniform } from "../src/random.js";
import { runReference } from "./python.js";

const WORDS = "my parcel never came where is the refund for order thanks late broken again please help".split(
  " ",
);
/** Words of a text, at least and at most: tickets and tweets have as many. */
const [SHORTEST, LONGEST] = [4, 60];
const ROUNDS = 3;

/**
 * Rows classified as `peft predict` does it, beside transformers' pipeline with batches of the same size, by
 * turns in one run. Loading is not timed; the head is new, which costs what a trained one does.
 */
export async function benchPredict(
  folder: string,
  { rows, batch, load, skip }: { rows: number; batch: number; load: LoadOptions; skip: boolean },
): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), "peft-predict-"));
  const data = join(place, "rows.jsonl");
  const next = random(0);
  const below = (n: number): number => Math.floor(uniform(next) * n);
  const texts = Array.from({ length: rows }, () =>
    Array.from({ length: SHORTEST + below(LONGEST - SHORTEST) }, () => WORDS[below(WORDS.length)]).join(" "),
  );
  writeFileSync(data, texts.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  const model = await AutoModelForSequenceClassification.fromPretrained(folder, { ...load, warn: () => {} });
  try {
    const classify = await pipeline("text-classification", model);
    const walk = async function* (): AsyncGenerator<string> {
      for await (const row of await loadDataset(data, {
        kind: "text",
        columns: { text: "text" },
        streaming: true,
      }))
        if (row.kind === "text") yield row.text;
    };
    await classify(texts.slice(0, 4 * batch), { batchSize: batch });
    for (let round = 1; round <= ROUNDS; round++) {
      const began = performance.now();
      let answers = 0;
      for await (const _ of classify(walk(), { batchSize: batch })) answers += 1;
      const ours = (performance.now() - began) / 1000;
      const threads = load.threads === undefined ? [] : ["--threads", `${load.threads}`];
      const args = [folder, data, "--batch", `${batch}`, ...threads];
      const reference = skip ? undefined : await runReference("predict_reference.py", args);
      const theirs = Number(reference?.json["seconds"]);
      const beside =
        reference === undefined
          ? ""
          : `, transformers ${theirs.toFixed(1)} s: ${(theirs / ours).toFixed(2)} times as fast`;
      console.log(`round ${round}: ${answers} rows in batches of ${batch}: ${ours.toFixed(1)} s${beside}`);
    }
  } finally {
    await model.close();
    rmSync(place, { recursive: true });
  }
}
