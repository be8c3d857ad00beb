import type { Column, Input } from "../graph/inputs.js";
import { tokenInput } from "../graph/inputs.js";
import { at } from "../present.js";

/**
 * Which tokens an activated LoRA acts on, 1 or 0, [batch, seq]: those from the last place where the
 * invocation stands in the row, padding behind them too; in generation, where it stands in the prompt. A row
 * without it is the base's. arXiv 2504.12397. Reference: peft/tuners/lora/variants.py,
 * calculate_alora_offsets
 */
export function invokedTokens(invocation: readonly number[]): Input {
  const { shape } = tokenInput("invoked", "f32");
  return {
    name: `invoked:${invocation.join(",")}`,
    role: "token",
    dtype: "f32",
    shape,
    read: (column) => invokedFrom(column("inputIds"), invocation),
    means: "whether the adapter acts on it",
    feed: (own, { batch, length, virtual }) => {
      if (own === undefined) return undefined;
      const [, read = 0] = own.shape;
      const width = virtual + length;
      const data = new Float32Array(batch * width);
      for (let i = 0; i < batch; i++)
        for (let j = 0; j < width; j++) {
          // behind the prompt all tokens are new ones, to which the last of the prompt's extends
          const place = read === length ? j - virtual : read - 1;
          data[i * width + j] = place < 0 ? 0 : at(own.data, i * read + place);
        }
      return { data, shape: [batch, width] };
    },
  };
}

function invokedFrom(ids: Column | undefined, invocation: readonly number[]): Column | undefined {
  if (ids === undefined) return undefined;
  const [rows = 0, length = 0] = ids.shape;
  const data = new Float32Array(rows * length);
  for (let i = 0; i < rows; i++) {
    const row = ids.data.subarray(i * length, (i + 1) * length);
    for (let start = length - invocation.length; start >= 0; start--) {
      if (!invocation.every((id, k) => row[start + k] === id)) continue;
      data.fill(1, i * length + start, (i + 1) * length);
      break;
    }
  }
  return { data, shape: [rows, length] };
}
