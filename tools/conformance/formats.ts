import { existsSync, readdirSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { PeftError } from "../../src/errors.js";
import { openArchive } from "../../src/hub/checkpoint.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { TextBatch } from "../../src/trace/feeds.js";
import { textBatchOf } from "./batches.js";
import { foldersIn, inTemporaryFolder } from "./files.js";
import type { CaseResult } from "./result.js";
import { checkSaved } from "./saved.js";
import type { Check } from "./tensors.js";
import { compare, Expected, exact } from "./tensors.js";

const TASK = "SEQ_2_SEQ_LM";
const ADAPTER = "adapter-bin";
const REFUSED = "refused";

const suffix = ".logits";

/** What formats/ has: its folders, and whatever its expect.safetensors has numbers for. */
export function formatNames(kit: string): string[] {
  return foldersIn(kit, "formats");
}

export async function runFormat(kit: string, name: string): Promise<CaseResult> {
  const folder = join(kit, "formats");
  if (name === REFUSED) return { checks: await checkRefused(kit, join(folder, name)) };
  if (name === ADAPTER) return { checks: await checkAdapter(kit, join(folder, name)) };
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const batch = textBatchOf(expected, "input.", TASK);
  const checks = [
    ...(await checkModel(folder, name, batch, expected, "f32")),
    ...strangers(expected, folder),
  ];
  if (name === "f16" || name === "bf16")
    checks.push(...(await checkModel(folder, name, batch, expected, "stored")));
  return { checks };
}

async function checkModel(
  folder: string,
  name: string,
  batch: TextBatch,
  expected: Expected,
  resident: "f32" | "stored",
): Promise<Check[]> {
  const model = await PreTrainedModel.load(
    TASK,
    join(folder, name),
    resident === "f32" ? {} : { plan: "streamed" },
  );
  try {
    const { logits } = await model.forward(batch as TextBatch<typeof TASK>);
    const key = resident === "f32" ? "formats.logits" : "formats.logits, weights as stored";
    return [compare(key, logits, expected.get(name + suffix), 1e-4)];
  } finally {
    await model.close();
  }
}

/** Keys for which there is no folder. */
function strangers(expected: Expected, folder: string): Check[] {
  const known = foldersIn(folder).map((name) => name + suffix);
  return expected.unread
    .filter((key) => !known.includes(key))
    .map((key) => exact(`unknown.${key}`, false, "nothing checks this key"));
}

/** The adapter of cases/t5--lora as .bin gives what it gives as safetensors, and is saved again. */
async function checkAdapter(kit: string, folder: string): Promise<Check[]> {
  const twin = join(kit, "cases", "t5--lora");
  const expected = await Expected.open(join(twin, "expect.safetensors"));
  const base = await PreTrainedModel.load(TASK, join(kit, "models", "t5"));
  try {
    const model = (await PeftModel.fromPretrained(base, folder)) as PeftModel;
    const { logits } = await model.forward(textBatchOf(expected, "input.", TASK));
    return [
      compare("formats.adapted", logits, expected.get("adapted.logits"), 1e-4),
      ...(await checkSaved(model, "default", folder)),
      ...(await checkSaved(model, "default", twin)),
    ];
  } finally {
    await base.close();
  }
}

/**
 * Every file must be refused as a file, whether it is opened by itself or as an adapter's weights, and
 * nothing in it be executed.
 */
async function checkRefused(kit: string, folder: string): Promise<Check[]> {
  const checks: Check[] = [];
  const base = await PreTrainedModel.load(TASK, join(kit, "models", "t5"));
  try {
    for (const file of readdirSync(folder).sort()) {
      const alone = await errorOf(openArchive(join(folder, file)));
      const loaded = await inTemporaryFolder(async (adapter) => {
        const config = join(kit, "cases", "t5--lora", "adapter_config.json");
        await copyFile(config, join(adapter, "adapter_config.json"));
        await copyFile(join(folder, file), join(adapter, `adapter_model${extname(file)}`));
        return errorOf(PeftModel.fromPretrained(base, adapter));
      });
      for (const [how, error] of [
        ["opened", alone],
        ["loaded", loaded],
      ] as const)
        checks.push(exact(`refused.${file}, ${how}`, isRefusal(error), `not refused: ${error}`));
    }
  } finally {
    await base.close();
  }
  const executed = existsSync("peft-js-was-here");
  return [...checks, exact("refused.unexecuted", !executed, "a file of refused/ was executed")];
}

function isRefusal(error: unknown): boolean {
  return error instanceof PeftError && error.code === "file-format";
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => "it loads",
    (error: unknown) => error,
  );
}
