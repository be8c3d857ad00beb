import type { Feed } from "../engine/messages.js";
import { decoderInputs, textInputs } from "../models/text_inputs.js";
import type { BatchSizes } from "./memory/batch.js";

/**
 * Scores of one head, rows x queries x keys, from which on attention goes in chunks: 8 rows of 512 tokens, 1
 * of 1448. Below, keeping the softmax costs less than computing it again.
 */
const LONG = 2 ** 21;

/** Whether the sequences of a run are long, by what it feeds. */
export function areLong(feeds: Readonly<Record<string, Feed>>): boolean {
  return [textInputs, decoderInputs].some(({ ids, mask }) => {
    const [rows = 0, queries = 0] = feeds[ids.name]?.shape ?? [];
    const [, keys = queries] = feeds[mask.name]?.shape ?? [];
    return rows * queries * keys >= LONG;
  });
}

/** The same of a training batch. */
export function isLong({ batch, seq = 0, target = 0 }: BatchSizes): boolean {
  return batch * Math.max(seq, target) ** 2 >= LONG;
}
