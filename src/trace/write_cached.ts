import { addDims, dimAt } from "../graph/dims.js";
import type { Lengths } from "../graph/inputs.js";
import type { CacheShape, KeyValue, Layout } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { decoderInputs, textInputs } from "../models/text_inputs.js";
import { at } from "../present.js";
import { taskOf } from "../tasks/registry.js";
import { cacheNames, cachePlace, declare, declareCached, declareCore, encodedRows } from "./inputs.js";
import type { ModelTrace } from "./trace.js";
import type { ModelSpec } from "./write.js";
import { bareModel, declareInputs, partOf, stackInputs, writeEncoder, writeHead } from "./write.js";

/**
 * Generation with caches, where it begins: the last position's logits [batch, vocab], and keys and values
 * grown by the tokens that were read. Encoder-decoders read the cross-attention's keys and values from inputs
 * that `writeEncode` made.
 */
export function writeStep(spec: ModelSpec, trace: ModelTrace): Record<string, Tensor> {
  const past = declareCached(trace.g, "past", spec.config.cache, "batch", "past");
  const virtual = trace.options.virtual && !spec.config.encoderDecoder ? trace.virtualTokens("input") : 0;
  return writeCached(spec, trace, { batch: "batch", length: "seq", virtual, past: "past" }, past);
}

/**
 * One token more of each row, for which caches have room: the logits, and its keys and values alone, which
 * are to be written there.
 */
export function writeNext(spec: ModelSpec, trace: ModelTrace): Record<string, Tensor> {
  const { g } = trace;
  const place = declareCore(g, cachePlace);
  const past = declareCached(g, "past", spec.config.cache, "batch", addDims("past", 1));
  const lengths = { batch: "batch", length: 1, virtual: 0, past: "past" };
  return writeCached(
    spec,
    trace,
    lengths,
    past.map((layer) => ({ ...layer, place })),
  );
}

function writeCached(
  spec: ModelSpec,
  trace: ModelTrace,
  lengths: Lengths,
  past: readonly KeyValue[],
): Record<string, Tensor> {
  const { g } = trace;
  const { config } = spec;
  const { cache } = config;
  const { x, layout } = config.encoderDecoder
    ? declareInputs(trace, decoderInputs, lengths)
    : stackInputs(spec, trace, lengths, past);
  const w = bareModel(spec, trace, layout, config.encoderDecoder ? "decoder" : "stack");
  const { hidden, present } = config.encoderDecoder
    ? partOf(spec, "decoder")(
        w,
        config,
        { ...x, typeIds: undefined, past, ...crossInputs(trace, cache) },
        undefined,
      )
    : partOf(spec, "stack")(w, config, { typeIds: undefined, ...x, past });
  const logits = writeHead(spec, trace, taskOf(spec.task).head, g.last(hidden, 1), x.mask);
  const outputs: Record<string, Tensor> = { logits: g.squeeze(logits, 1) };
  for (const [i, { k, v }] of cacheNames("present", cache).entries())
    Object.assign(outputs, { [k]: at(present, i).k, [v]: at(present, i).v });
  return outputs;
}

function crossInputs(
  trace: ModelTrace,
  cache: CacheShape,
): { encoderMask: Tensor; cross: (layer: number) => KeyValue } {
  const { g } = trace;
  const cross = declareCached(g, "cross", cache, "batch", "encoded");
  return {
    encoderMask: declare(g, textInputs.mask, { batch: "batch", length: "encoded", virtual: 0, past: 0 }),
    cross: (layer) => at(cross, layer),
  };
}

/**
 * Runs the encoder once and projects its output for every layer's cross-attention; `rows` repeats rows for
 * beams.
 */
export function writeEncode(spec: ModelSpec, trace: ModelTrace): Record<string, Tensor> {
  const { g } = trace;
  const { config } = spec;
  const { encoded } = writeEncoder(spec, trace);
  const outputs: Record<string, Tensor> = {};
  const rows = declareCore(g, encodedRows);
  // What the decoder reads, and masks, does not reach the cross-attention's keys and values: it is never fed.
  const lengths = { batch: "batch", length: "target", virtual: 0, past: 0 };
  const { x, layout } = declareInputs(trace, decoderInputs, lengths);
  const encoderMask = declare(g, textInputs.mask, { ...lengths, length: dimAt(encoded.shape, 1) });
  const names = cacheNames("cross", config.cache);
  const cross = (layer: number, project: (of: Layout) => KeyValue): KeyValue => {
    const { k, v } = project(trace.padded);
    const name = at(names, layer);
    Object.assign(outputs, { [name.k]: g.gather(k, rows, 0), [name.v]: g.gather(v, rows, 0) });
    return { k, v };
  };
  const inputs = { ...x, typeIds: undefined, past: undefined, encoderMask, cross };
  partOf(spec, "decoder")(bareModel(spec, trace, layout, "decoder"), config, inputs, encoded);
  return outputs;
}
