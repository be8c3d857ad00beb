import { internal } from "../errors.js";
import { at } from "../present.js";
import { applyRules } from "./processors.js";
import { checkAbort, type Generated, type Run } from "./run.js";
import { chooseToken } from "./sample.js";

/**
 * Greedy decoding and sampling: every row by itself, all rows until the last has ended.
 * Reference: generation/utils.py _sample
 */
export async function decodeRows(run: Run): Promise<Generated> {
  const { stepper, decoding } = run;
  const rows = run.prompts.map((prompt) => withRoom(prompt, decoding.maxLength));
  const ended = new Array<boolean>(rows.length).fill(false);
  let length = decoding.promptLength;
  let scores = await stepper.start();
  for (;;) {
    checkAbort(run, length);
    const tokens = nextTokens(run, rows, ended, length, scores);
    rows.forEach((ids, row) => {
      ended[row] ||= run.stops(ids.subarray(0, length), at(tokens, row));
      ids[length] = at(tokens, row);
    });
    length++;
    run.streamer?.put(tokens);
    if (ended.every(Boolean)) break;
    scores = await stepper.next(tokens);
  }
  return { sequences: rows.map((ids) => ids.slice(0, length)) };
}

/**
 * One token per row; ended rows get padding, where there is an end token (as transformers, which goes on
 * else).
 */
function nextTokens(
  run: Run,
  rows: readonly Int32Array[],
  ended: readonly boolean[],
  length: number,
  scores: Float32Array,
): Int32Array {
  const { decoding, rules, padding, seed, stepper } = run;
  const pads = decoding.eos.length > 0;
  return Int32Array.from(rows, (ids, row) => {
    if (ended[row] && pads) return decoding.pad ?? internal("ended rows without a padding token");
    const own = scores.subarray(row * stepper.vocabSize, (row + 1) * stepper.vocabSize);
    applyRules(rules, ids.subarray(0, length), own, at(padding, row));
    return chooseToken(own, decoding, seed, row, length - decoding.promptLength);
  });
}

function withRoom(prompt: Int32Array, maxLength: number): Int32Array {
  const ids = new Int32Array(maxLength);
  ids.set(prompt);
  return ids;
}
