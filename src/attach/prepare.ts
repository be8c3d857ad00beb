import type { Adapter } from "../adapters/adapter.js";
import { PeftError } from "../errors.js";
import { openTensors } from "../hub/checkpoint.js";
import type { NamedTensor } from "../methods/method.js";
import { at, entry } from "../present.js";
import { random } from "../random.js";
import type { Runtime } from "../run/runtime.js";
import { headModules } from "../tasks/registry.js";
import { freshValues } from "../weights/weights.js";
import { option, words } from "../words.js";

interface PrepareOptions {
  readonly seed: number;
  /** Turns a prompt's text into ids (prompt tuning's TEXT). */
  readonly tokenize?: ((text: string) => readonly number[]) | undefined;
  /** The adapter's tensors come from a file. */
  readonly file?: object | undefined;
}

/**
 * Everything that starts from the base's weights: copies of modules and biases, token rows, decompositions.
 */
export async function prepare(
  adapter: Adapter,
  runtime: Runtime,
  options: PrepareOptions,
): Promise<ReadonlyMap<string, Float32Array>> {
  const next = random(options.seed, 0x9e4);
  await copyFromBase(adapter, runtime, options.seed);
  const residuals = await prepareSites(adapter, runtime, next);
  if (options.file === undefined) {
    await startPrompt(adapter, runtime, options, next);
    await startFromFile(adapter);
  }
  adapter.state.touch();
  return residuals;
}

async function copyFromBase(adapter: Adapter, runtime: Runtime, seed: number): Promise<void> {
  const { task } = adapter;
  const heads = task === undefined ? [] : headModules(task.task);
  for (const [name, key] of adapter.replaced) {
    const { data, shape } = adapter.entry(key);
    // the base has no head of another task
    const isNew = heads.some((module) => `.${name}`.includes(`.${module}.`));
    data.set(
      isNew && task !== undefined ? freshValues(name, shape, task.config, seed) : await runtime.weight(name),
    );
  }
  for (const [path, { ids, entry }] of adapter.tokens) {
    const table = await runtime.weight(`${path}.weight`);
    const { data: rows, shape } = adapter.entry(entry);
    const dim = at(shape, 1);
    for (const [i, id] of ids.entries()) rows.set(table.subarray(id * dim, (id + 1) * dim), i * dim);
  }
}

async function prepareSites(
  adapter: Adapter,
  runtime: Runtime,
  next: () => number,
): Promise<Map<string, Float32Array>> {
  const residuals = new Map<string, Float32Array>();
  for (const { path, weight, bias, prepare } of adapter.sites.values()) {
    if (prepare === undefined || weight === undefined) continue;
    const prepared = prepare(await runtime.weight(weight), next, {
      bias: bias === undefined ? undefined : await runtime.weight(bias),
      p: (key) => adapter.entry(`${path}.${key}`).data,
    });
    for (const [key, data] of Object.entries(prepared?.parameters ?? {}))
      adapter.entry(`${path}.${key}`).data.set(data);
    if (prepared?.weight !== undefined) residuals.set(weight, prepared.weight);
  }
  return residuals;
}

/** A prompt that starts from another adapter's tensors. Throws "adapter-mismatch" where they do not fit. */
async function startFromFile({ method, config, entries }: Adapter): Promise<void> {
  const prompt = method?.prompt;
  const path = prompt?.source?.(config);
  if (path === undefined || prompt?.fromSource === undefined) return;
  const file = await openTensors(path);
  const source = new Map<string, NamedTensor>();
  for (const key of ["prompt_embeddings", ...(prompt.saved ?? [])]) {
    const shape = file.tensors.get(key)?.shape;
    if (shape !== undefined) source.set(key, { key, shape, data: await file.readF32(key) });
  }
  for (const [key, tensor] of Object.entries(prompt.fromSource(config, source))) {
    if (tensor === undefined) continue;
    const { shape, data } = entry(entries, `prompt_encoder.${key}`);
    if (`${tensor.shape}` !== `${shape}`)
      throw new PeftError("adapter-mismatch", {
        what: `"${path}" does not fit: its ${tensor.key} is [${tensor.shape}], the new adapter's ${key} is [${shape}].`,
        why: "an adapter that starts from another one has its sizes.",
        fix: words`give ${option("numVirtualTokens")} and ${option("numRanks")} as that adapter has them.`,
      });
    data.set(tensor.data);
  }
}

/** Prompt tuning from rows of the vocabulary or from a text. */
async function startPrompt(
  adapter: Adapter,
  runtime: Runtime,
  { tokenize }: PrepareOptions,
  next: () => number,
): Promise<void> {
  const { method, config } = adapter;
  const table = method?.prompt?.tables(config)?.[0];
  const embedding = [...runtime.weights.inventory.embeddings.values()][0];
  if (method?.prompt?.initialTokens === undefined || table === undefined || embedding === undefined) return;
  const ids = method.prompt.initialTokens(config, embedding.vocab, next, tokenize);
  if (ids === undefined) return;
  const rows = adapter.entry(`prompt_encoder.${table}`).data;
  const { dim } = embedding;
  const all = await runtime.weight(embedding.weight);
  for (let i = 0; i * dim < rows.length; i++) {
    const id = at(ids, i % ids.length);
    rows.set(all.subarray(id * dim, (id + 1) * dim), i * dim);
  }
}
