import { at } from "../present.js";
import { ignoreIndex } from "./batch.js";
import type { CausalLMSample } from "./sample.js";

/**
 * Several documents in one sample of at most `length` tokens, each apart from the others in attention and
 * positions (`documents`). The longest come first, each into the fullest sample that has room (best fit
 * decreasing, as TRL's packing_strategy "bfd"); what is longer than a sample is cut into several documents.
 * Nothing is learnt of a document's first token: nothing stands before it.
 */
export function packed(samples: readonly CausalLMSample[], length: number): CausalLMSample[] {
  const parts = samples.flatMap((sample) => pieces(sample, length));
  const order = parts.map((_, i) => i).sort((a, b) => sizeOf(at(parts, b)) - sizeOf(at(parts, a)) || a - b);
  const bins: number[][] = [];
  /** Bins by the room that is left in them. */
  const rooms: number[][] = Array.from({ length: length + 1 }, () => []);
  for (const i of order) {
    const size = sizeOf(at(parts, i));
    let room = size;
    while (room < length && at(rooms, room).length === 0) room++;
    const bin = room < length ? at(rooms, room).pop() : undefined;
    const number = bin ?? bins.push([]) - 1;
    at(bins, number).push(i);
    at(rooms, (bin === undefined ? length : room) - size).push(number);
  }
  return bins.map((bin) => joined(bin.sort((a, b) => a - b).map((i) => at(parts, i))));
}

const sizeOf = ({ inputIds }: CausalLMSample): number => inputIds.length;

function pieces(sample: CausalLMSample, length: number): CausalLMSample[] {
  const count = Math.ceil(sizeOf(sample) / length);
  return Array.from({ length: count }, (_, i) => ({
    ...sample,
    inputIds: sample.inputIds.subarray(i * length, (i + 1) * length),
    labels: sample.labels.subarray(i * length, (i + 1) * length),
  })).filter(({ labels }) => labels.some((label, i) => i > 0 && label !== ignoreIndex));
}

/** One sample of several documents; it stands for the first one's row. */
function joined(parts: readonly CausalLMSample[]): CausalLMSample {
  const whole = (part: (sample: CausalLMSample, i: number) => Iterable<number>): Int32Array =>
    Int32Array.from(parts.flatMap((sample, i) => [...part(sample, i)]));
  return {
    ...at(parts, 0),
    inputIds: whole(({ inputIds }) => inputIds),
    labels: whole(({ labels }) => labels.map((label, i) => (i === 0 ? ignoreIndex : label))),
    documents: whole(({ inputIds }, i) => inputIds.map(() => i + 1)),
  };
}
