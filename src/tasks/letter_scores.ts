import { argmax } from "../argmax.js";
import { cer, wer } from "./error_rates.js";
import type { ModelProblem } from "./problem.js";
import type { Scores } from "./scores.js";

/** Words and letters that are wrong, of what frames say by their likeliest letters. */
export function letterScores({ ctc, framesOf }: ModelProblem): Scores {
  return {
    metrics: { wer: "lower", cer: "lower" },
    from: "logits",
    read({ rows, labels, columns }, { data, shape: [, frames = 0, letters = 0] }) {
      const heard = columns?.["attentionMask"];
      const samples = heard?.shape[1] ?? 0;
      const width = labels?.shape[1] ?? 0;
      return [...rows].map((row, i) => {
        const own = heard?.data.subarray(i * samples, (i + 1) * samples).filter((x) => x > 0).length;
        const length = own === undefined ? frames : Math.min(frames, framesOf?.(own) ?? frames);
        const logits = data.subarray(i * frames * letters, (i * frames + length) * letters);
        const predicted = likeliestLetters(logits, letters, ctc?.blank ?? 0);
        const actual = [...(labels?.data.subarray(i * width, (i + 1) * width) ?? [])].filter((id) => id >= 0);
        return { row, predicted, actual };
      });
    },
    words: (values, { lettersOf }) => lettersOf(values),
    measure(_scored, texts): Record<string, number> {
      if (texts.length === 0) return {};
      const [written, said] = [texts.map(({ output }) => output), texts.map(({ expected = "" }) => expected)];
      return { wer: wer(written, said), cer: cer(written, said) };
    },
  };
}

/** The likeliest letter of each frame [frames, letters], equal neighbours once, without blanks. */
function likeliestLetters(logits: Float32Array, letters: number, blank: number): number[] {
  const frames = Array.from({ length: logits.length / letters }, (_, i) =>
    argmax(logits.subarray(i * letters, (i + 1) * letters)),
  );
  return frames.filter((id, i) => id !== blank && id !== frames[i - 1]);
}
