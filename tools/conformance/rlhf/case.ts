import { existsSync } from "node:fs";
import { join } from "node:path";
import type { PreTrainedModel } from "../../../src/peft/base_model.js";
import { PeftModel } from "../../../src/peft/peft_model.js";
import { AdamW } from "../../../src/train/adamw.js";
import type { Bases } from "../bases.js";
import { json } from "../files.js";
import type { CaseResult } from "../result.js";
import type { Check } from "../tensors.js";
import { compare, compareToLargest, Expected, exact, failure } from "../tensors.js";
import { kitName } from "../training.js";
import { isDataCase, runData } from "./data.js";
import { dpo } from "./dpo.js";
import { grpo } from "./grpo.js";
import { bco, kto } from "./kto.js";
import { cpo, orpo } from "./orpo.js";
import { runPpo } from "./ppo.js";
import { reward, runRewardData } from "./reward.js";
import { rloo, runAdvantages } from "./rloo.js";
import { sft } from "./sft.js";
import {
  type CaseFile,
  checkWeights,
  FIRM,
  number,
  type RlhfMethod,
  type Run,
  type Variant,
} from "./variant.js";

const methods: Readonly<Record<string, RlhfMethod>> = {
  ...{ bco, cpo, dpo, grpo, kto, orpo, reward, rloo, sft },
};

/** Whether a case is of the kit of TRL's numbers. */
export function isRlhf(kit: string, name: string): boolean {
  const file = json<Partial<CaseFile>>(kit, "cases", name, "case.json");
  return file.variants !== undefined || name.startsWith("data-") || name === "grpo-advantages";
}

/** One case: every variant at the saved adapter, five steps on its batch, and the whole run. */
export async function runRlhf(kit: string, name: string, bases: Bases): Promise<CaseResult> {
  if (name.startsWith("ppo-")) return await runPpo(kit, name);
  if (name.startsWith("data-reward-")) return await runRewardData(kit, name);
  const folder = join(kit, "cases", name);
  if (name === "grpo-advantages") return runAdvantages(kit, name);
  if (isDataCase(name)) return runData(kit, name);
  const method = methods[name.split("-")[0] ?? ""];
  if (method === undefined) return { checks: [], notCovered: { reason: `method of ${name}`, keys: [] } };
  const file = json<CaseFile>(folder, "case.json");
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const all = json<Record<string, Record<string, unknown>>>(folder, "expect.json");
  const task = method.task ?? (name.endsWith("t5") ? "SEQ_2_SEQ_LM" : "CAUSAL_LM");
  const base = await bases.get(task, join(kit, file.model));
  const checks: Check[] = [];
  for (const [variant, own] of Object.entries(file.variants)) {
    const model = await openAdapter(base, folder);
    const v: Variant = {
      ...{ name: variant, folder, file: own, model, expected, reference: file.reference },
      config: { ...file.defaults, ...own.config },
      rows: file[`${own["rows"] ?? "rows"}`],
      json: all[variant] ?? {},
    };
    const run = async (): Promise<readonly Check[]> =>
      own.whole_run ? ((await method.train?.(v)) ?? []) : checkVariant(v, await method.prepare(v));
    const found = await run().catch((error) => [failure(error)]);
    checks.push(...found.map((check) => ({ ...check, key: `${variant}.${check.key}` })));
    await model.deleteAdapter("default");
  }
  for (const key of expected.unread) checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
  return { checks };
}

/** Adapters of these cases are on q and v, or c_attn. */
export async function openAdapter(base: PreTrainedModel, folder: string): Promise<PeftModel> {
  if (!existsSync(join(folder, "adapter_config.json"))) throw new Error(`${folder} has no adapter`);
  return await PeftModel.fromPretrained(base, folder);
}

async function checkVariant(v: Variant, run: Run): Promise<readonly Check[]> {
  const { model, expected, name } = v;
  const entries = [...model.activeAdapter.entries.values()];
  const start = entries.map(({ data }) => data.slice());
  const parameters = model.trainableParameters();
  parameters.zero();
  const { loss, losses, metrics = {} } = await run.pass();
  const wanted = v.json["losses"];
  const checks = Array.isArray(wanted)
    ? wanted.map((one, i) => number("losses", losses?.[i] ?? Number.NaN, one))
    : [number("loss", loss, v.json["loss"])];
  checks.push(...(run.checks?.() ?? []));
  for (const [key, value] of Object.entries((v.json["metrics"] ?? {}) as object))
    checks.push(number(`metrics.${key}`, metrics[key] ?? Number.NaN, value));
  for (const [i, p] of parameters.list.entries()) {
    const key = `${name}.grad.${kitName(model.activeAdapter, p.name)}`;
    const data = parameters.gradientOf(i).map((x) => x / parameters.count);
    checks.push(compareToLargest("grad", { shape: p.shape, data }, expected.get(key), 1e-4, 1e-6));
  }
  parameters.zero();
  for (const [key, value] of Object.entries(await run.values()))
    if (expected.has(`${name}.${key}`))
      checks.push(compare(key, value, expected.get(`${name}.${key}`), 1e-4));
  checks.push(...(await checkFirm(v, run)));
  for (const [i, { data }] of entries.entries()) data.set(start[i] ?? []);
  model.activeAdapter.state.touch();
  return checks;
}

/** Five steps of AdamW, neither clipped nor scheduled: the loss before each, and the weights after them. */
async function checkFirm({ model, json, name, expected }: Variant, run: Run): Promise<readonly Check[]> {
  const wanted = json["firm.losses"];
  if (!Array.isArray(wanted)) return [];
  run.begin?.();
  const optimizer = new AdamW(model.trainableParameters(), {
    ...FIRM,
    maxGradNorm: Number.POSITIVE_INFINITY,
  });
  const checks: Check[] = [];
  for (const loss of wanted) {
    checks.push(number("firm.losses", (await run.pass()).loss, loss));
    await optimizer.step();
  }
  return [...checks, ...checkWeights(model, expected, `${name}.firm.trained.`)];
}
