import { cer, wer } from "./error_rates.js";
import { normalizeBasic } from "./normalize_speech.js";
import type { Scores } from "./scores.js";

/** Words and characters that are wrong, in texts that Whisper's normalizer has written alike. */
export const speechScores: Scores = {
  metrics: { wer: "lower", cer: "lower" },
  from: "text",
  read: () => [],
  words: () => "",
  measure(_scored, texts): Record<string, number> {
    if (texts.length === 0) return {};
    const [written, said] = [texts.map(({ output }) => output), texts.map(({ expected = "" }) => expected)];
    const normalize = (text: string): string => normalizeBasic(text).trim();
    return { wer: wer(written, said, normalize), cer: cer(written, said, normalize) };
  },
};
