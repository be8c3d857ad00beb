import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { main } from "../../src/cli/main.js";
import { nodeTerminal } from "../../src/cli/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "peft-names-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(args: readonly string[]): Promise<{ code: number; said: string }> {
  let said = "";
  const add = (text: unknown): void => void (said += `${text}\n`);
  const code = await main(args, { ...nodeTerminal(), print: add, write: add, note: add });
  return { code, said };
}

/** What others call it, and what the fix says. */
test.each([
  ["--rank 8", /fix: +use --r\./],
  ["--lora-r 8", /fix: +use --r\./],
  ["--alpha 16", /fix: +use --lora-alpha for --alpha\./],
  ["--batch 4", /fix: +use --batch-size\./],
  ["--num-epochs 3", /fix: +use --epochs\./],
  ["--bf16", /fix: +use --load-in bf16\./],
  ["--load-in-4bit", /fix: +use --load-in nf4\./],
  ["--load_in_8bit", /fix: +use --load-in int8\./],
  ["--gradient-checkpointing", /fix: +use --plan checkpointed\./],
  ["--resume", /same command goes on by itself/],
  ["--logging-steps 1", /metrics\.jsonl/],
  ["--max-memory 4", /fix: .*--max-memory 4GB/],
])("peft train %s", async (args, fix) => {
  const { code, said } = await run(["train", ...args.split(" "), "--output", join(folder, "no")]);
  expect(said).toMatch(fix);
  expect(code).toBe(1);
});

/** Python's own names are taken: the value is judged under ours. */
test.each([
  ["--learning-rate=-1", /--lr is -1/],
  ["--learning_rate=-1", /--lr is -1/],
  ["--num-train-epochs=0", /--epochs is 0/],
  ["--per_device_train_batch_size=0", /--batch-size is 0/],
  ["--gradient_accumulation_steps=0", /--gradient-accumulation-steps is 0/],
  ["--warmup_ratio=2", /--warmup-ratio is 2/],
  ["--weight_decay=-1", /--weight-decay is -1/],
  ["--eval-steps=0", /--evaluate-every is 0/],
  ["--save_steps=0", /--save-every is 0/],
])("peft train %s", async (arg, says) => {
  expect((await run(["train", arg, "--output", join(folder, "no")])).said).toMatch(says);
});

test("the same in a file", async () => {
  const path = join(folder, "run.yaml");
  writeFileSync(path, "learning_rate: -1\nnum_train_epochs: 0\n");
  expect((await run(["train", "--config", path])).said).toMatch(/--epochs is 0.*--lr is -1/);
  writeFileSync(path, "load_in_4bit: true\n");
  expect((await run(["train", "--config", path])).said).toMatch(/use --load-in nf4/);
});

test.each([["-v"], ["-V"], ["--version"], ["version"]])("%s", async (word) => {
  const { code, said } = await run([word]);
  expect([code, said.trim()]).toEqual([0, "0.1.0"]);
});
