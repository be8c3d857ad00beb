import { join } from "node:path";
import { readAdapterConfig } from "../../src/attach/adapter_files.js";
import { attach } from "../../src/attach/attach.js";
import { methods } from "../../src/methods/index.js";
import { architectures } from "../../src/models/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { specOf } from "../../src/peft/spec.js";
import { taskOf, taskOfClass } from "../../src/tasks/registry.js";
import { countParameters } from "../../src/trace/trace.js";
import { takeInventory } from "../../src/trace/write.js";
import type { Bases } from "./bases.js";
import {
  asAdapted,
  batchOf,
  countedAt,
  kitLogits,
  lossOption,
  NAMED,
  promptColumns,
  rowsOf,
} from "./batches.js";
import { checkEncoder, checkInt8 } from "./encoder.js";
import { json } from "./files.js";
import { checkMerged } from "./merged.js";
import type { CaseFile, CaseResult, Context } from "./result.js";
import { checkSaved } from "./saved.js";
import type { Numbers } from "./tensors.js";
import { compare, Expected, equal, exact, failure, isEqual, readTensors } from "./tensors.js";
import { checkGradients, checkTraining } from "./training.js";

/** The settings of generation that the kit's README names: what case.json must say. */
const GENERATION = {
  max_new_tokens: 14,
  min_new_tokens: 2,
  eos_token_id: [8, 17, 26, 35, 44, 53, 62, 71, 80, 89],
};

const STRATEGIES: Readonly<Record<string, object>> = {
  greedy: {},
  beam: { numBeams: 3 },
  penalties: { repetitionPenalty: 1.5, noRepeatNgramSize: 2 },
  "beam-penalties": {
    numBeams: 4,
    lengthPenalty: 0.5,
    earlyStopping: true,
    noRepeatNgramSize: 2,
    repetitionPenalty: 1.3,
    numReturnSequences: 2,
  },
  "beam-long": { numBeams: 3, lengthPenalty: 2.0, earlyStopping: false },
};

/** One folder of cases/; where it is not covered, what to say of it. */
export async function openCase(kit: string, name: string): Promise<Context | CaseResult> {
  const folder = join(kit, "cases", name);
  const file = json<CaseFile>(folder, "case.json");
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const config = json<{ model_type: string; architectures?: string[] }>(kit, file.model, "config.json");
  const reason = whyNot(config.model_type, file);
  if (reason !== undefined) {
    const keys = expected.keys.filter((key) => !/^(input|second)\.(?!logits)/.test(key));
    return { checks: [], notCovered: { reason, keys } };
  }
  // models without a head have no task in Python, and in PEFT those that see and hear have none either
  const classes = [file.class ?? "", ...(file.class === undefined ? (config.architectures ?? []) : [])];
  const ofClass = classes.map(taskOfClass).find((found) => found !== undefined);
  const task = file.task ?? ofClass ?? "FEATURE_EXTRACTION";
  const batch = batchOf(expected, "input.", task);
  return { folder, kit, file, task, expected, checks: [], batch };
}

/** Runs one folder of cases/. */
export async function runCase(kit: string, name: string, bases: Bases): Promise<CaseResult> {
  const c = await openCase(kit, name);
  if (!("expected" in c)) return c;
  await checkCounts(c);
  const base = await bases.get(c.task, join(kit, c.file.model));
  try {
    await checkForward(c, "base", base);
    await checkEncoder(c, "base", base, []);
    await checkAdapter({ ...c, batch: asAdapted(c.batch) }, base);
    await checkBaseAgain(c, base, bases);
    await checkInt8(c, bases);
  } catch (error) {
    await bases.close();
    c.checks.push(failure(error));
    return { checks: c.checks };
  }
  for (const key of c.expected.unread)
    c.checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
  return { checks: c.checks };
}

/** A case is not covered where its model_type or its peft_type is unknown, and for no other reason. */
function whyNot(modelType: string, file: CaseFile): string | undefined {
  if (!architectures.some((a) => a.modelTypes.includes(modelType))) return `model_type "${modelType}"`;
  if (!methods.some((m) => m.config.peftType === file.peft_type)) return `peft_type "${file.peft_type}"`;
  return undefined;
}

/** trainable and total from config.json alone, and that case.json speaks of this adapter. */
async function checkCounts(c: Context): Promise<void> {
  const spec = specOf(json(c.kit, c.file.model, "config.json"), c.task);
  const inventory = takeInventory(spec);
  const file = await readAdapterConfig(c.folder);
  const { adapter } = attach("default", file.method, file.config, spec, inventory, { seed: 0, file });
  c.checks.push(
    equal("counts.trainable", adapter.state.parameters.size, c.file.trainable),
    equal("counts.total", countParameters(inventory) + adapter.addedSize, c.file.total),
    equal(
      "counts.config",
      [file.method.config.peftType, file.config.taskType],
      [c.file.peft_type, taskOf(c.task).byClass === true ? c.task : (c.file.task ?? undefined)],
    ),
  );
  if (c.file.generation !== undefined)
    c.checks.push(equal("generate.settings", c.file.generation, GENERATION));
}

/** What a forward pass gives against `what`.logits and `what`.loss; `label` where it is done another way. */
export async function checkForward(
  c: Context,
  what: string,
  model: Pick<PeftModel, "forward">,
  label: string = what,
): Promise<void> {
  const named = Object.keys(NAMED).filter((key) => c.expected.has(`${what}.${key}`));
  const { logits, loss } = await model.forward(c.batch, lossOption(c));
  const [wantedLogits, wantedLoss] = [c.expected.get(`${what}.logits`), c.expected.get(`${what}.loss`)];
  const counts = countedAt(c.batch, wantedLogits);
  const scalar: Numbers = { shape: wantedLoss?.shape ?? [], data: [loss ?? Number.NaN] };
  c.checks.push(
    compare(`${label}.logits`, kitLogits(c.task, logits, wantedLogits), wantedLogits, 1e-4, counts),
    compare(`${label}.loss`, scalar, wantedLoss, 1e-4),
  );
  for (const key of named) {
    const said = await model.forward(c.batch, { head: NAMED[key] });
    c.checks.push(compare(`${label}.${key}`, said.logits, c.expected.get(`${what}.${key}`), 1e-4));
  }
}

async function checkAdapter(c: Context, base: PreTrainedModel): Promise<void> {
  const model = await loadForTraining(c, base);
  await checkForward(c, "adapted", model);
  await checkEncoder(c, "adapted", base, [model.activeAdapter]);
  const second = asAdapted(batchOf(c.expected, "second.", c.task));
  const { logits } = await model.forward(second);
  const wanted = c.expected.get("second.logits");
  c.checks.push(compare("second.logits", kitLogits(c.task, logits, wanted), wanted, 1e-4));
  await checkGradients(c, model);
  if (c.task === "CAUSAL_LM" || c.task === "SEQ_2_SEQ_LM")
    for (const [label, extra] of Object.entries(STRATEGIES)) await checkGenerate(c, model, label, extra);
  await checkTraining(c, model);
  await checkDisabled(c, model);
  if (c.file.adapter_with_old_names === true) await checkOldNames(c, base);
  if (model.activeAdapter.isMergeable) await checkMerged(c, model);
  await model.deleteAdapter("default");
}

/**
 * Loads the adapter and saves it again. Prompt methods then get their encoder's own weights, which the kit
 * has, and must yield the
 * saved rows: so they can be trained.
 */
async function loadForTraining(c: Context, base: PreTrainedModel): Promise<PeftModel> {
  const model = await PeftModel.fromPretrained(base, c.folder);
  c.checks.push(...(await checkSaved(model, "default", c.folder)));
  if (model.activeAdapter.prompt === undefined) return model;
  if (model.activeAdapter.prompt === "stored") {
    await checkForward(c, "adapted", model, "adapted.as stored");
    giveEncoder(model);
  }
  for (const { key, data } of model.activeAdapter.entries.values()) {
    const name = /^prompt_encoder\.(.*)$/.exec(key)?.[1];
    if (name === undefined) continue;
    const own = c.expected.get(`encoder.${name}`);
    if (own?.data.length === data.length) data.set(own.data);
    else c.checks.push(exact(`encoder.${name}`, false, "the kit has no such tensor, or of another shape"));
  }
  model.activeAdapter.state.touch();
  const rows = await model.promptEmbeddings("default");
  const saved = await readTensors(join(c.folder, "adapter_model.safetensors"));
  c.checks.push(compare("encoder.rows", rows!, saved.get("prompt_embeddings"), 1e-5));
  return model;
}

/** Puts an adapter with its encoder in the place of the rows that were saved. */
function giveEncoder(model: PeftModel): void {
  const stored = model.activeAdapter;
  const { spec, runtime } = model.base;
  const { inventory } = runtime.weights;
  const { adapter } = attach("default", stored.method!, stored.config, spec, inventory, {
    seed: 0,
    ...(stored.loaded && { file: stored.loaded }),
  });
  for (const { key, data } of stored.entries.values())
    if (adapter.entries.has(key)) adapter.entry(key).data.set(data);
  model.adapters.set("default", adapter);
}

async function checkGenerate(c: Context, model: PeftModel, label: string, extra: object): Promise<void> {
  if (!c.expected.has(`generate.${label}`)) return; // Python refuses it
  const { max_new_tokens, min_new_tokens, eos_token_id } = c.file.generation ?? GENERATION;
  const { inputIds, attentionMask } = c.batch;
  if (inputIds === undefined || attentionMask === undefined) return;
  const got = await model.generate(
    {
      inputIds: rowsOf(inputIds),
      attentionMask: rowsOf(attentionMask),
      columns: promptColumns(c.batch),
    },
    {
      maxNewTokens: max_new_tokens,
      minNewTokens: min_new_tokens,
      eosTokenId: eos_token_id,
      doSample: false,
      ...extra,
    },
  );
  const wanted = c.expected.get(`generate.${label}`);
  // The library adapters 1.3.0 hands no cache to Llama's attention under transformers 4.57 (past_key_value
  // for past_key_values), so that each step of its generation sees itself alone. With use_cache=False it
  // generates what is generated here.
  if (c.file.peft_type === "BOTTLENECK" && c.file.model === "models/llama") return;
  c.checks.push(equal(`generate.${label}`, got, wanted && rowsOf(wanted)));
}

/**
 * The adapter as transformers 4 names it: the same numbers, and its tensors saved under today's names. Names
 * of its targets may be shorter or longer than Python's, for they mean the same: the tensors tell.
 */
async function checkOldNames(c: Context, base: PreTrainedModel): Promise<void> {
  const model = await PeftModel.fromPretrained(base, join(c.folder, "transformers-4"));
  await checkForward(c, "adapted", model, "old names");
  for (const check of await checkSaved(model, "default", c.folder))
    if (!check.key.endsWith("json"))
      c.checks.push({ ...check, key: check.key.replace("saved.", "old names.saved ") });
  await model.deleteAdapter("default");
}

/** Without its adapters the model is the base, and with them again what it was. */
async function checkDisabled(c: Context, model: PeftModel): Promise<void> {
  const option = lossOption(c);
  const before = await model.forward(c.batch, option);
  const disabled = await model.disableAdapter(() => model.forward(c.batch, option));
  const base = await model.base.forward(c.batch, option);
  const after = await model.forward(c.batch, option);
  c.checks.push(
    compare("disabled.logits", disabled.logits, toKit(base.logits), 1e-6, countedAt(c.batch, base.logits)),
    exact("disabled.again", isEqual(before.logits, after.logits), "the adapter's logits have changed"),
  );
}

export function toKit({ shape, data }: Numbers): {
  shape: readonly number[];
  data: Float64Array;
  isInteger: false;
} {
  return { shape, data: Float64Array.from(data), isInteger: false };
}

/** Weights of the base that are not the checkpoint's any more. */
export async function changedWeights({ runtime }: PreTrainedModel): Promise<string[]> {
  const changed: string[] = [];
  for (const name of runtime.weights.inventory.weights.keys()) {
    const [now, original] = [await runtime.weight(name), await runtime.weights.readF32(name)];
    if (!now.every((x, i) => x === original[i])) changed.push(name);
  }
  return changed;
}

/**
 * The base must be what it was before the case. Where a method's start changes it for good (PiSSA, OLoRA),
 * it is not used again.
 */
async function checkBaseAgain(c: Context, base: PreTrainedModel, bases: Bases): Promise<void> {
  if ((await changedWeights(base)).length > 0) await bases.close();
  else await checkForward(c, "base", base, "base.again");
}
