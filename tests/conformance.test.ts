import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSafetensors } from "../src/hub/tensors/safetensors.js";
import { keyList } from "../tools/conformance/key_list.js";
import { casesOf, runKit } from "../tools/conformance/kit.js";
import { linesOf, verdictOf } from "../tools/conformance/report.js";
import type { CaseResult } from "../tools/conformance/result.js";

const kit = fileURLToPath(new URL("kit", import.meta.url));

async function run(folder: string, only: RegExp): Promise<CaseResult> {
  for await (const result of runKit(folder, only)) return result;
  throw new Error(`nothing in ${folder} is named like ${only}`);
}

describe("the carried part of the kit", () => {
  it("runs whole, and covers every key", async () => {
    const failed: string[] = [];
    const names: string[] = [];
    const keys: string[] = [];
    for await (const result of runKit(kit)) {
      names.push(result.name);
      keys.push(...(result.notCovered?.keys ?? []));
      if (verdictOf(result) !== "passed") failed.push(...linesOf(result.name, result));
    }
    expect(failed).toEqual([]);
    expect(names).toEqual(casesOf(kit).map((c) => c.name));
    expect(names.length).toBeGreaterThanOrEqual(40);
    expect(keyList(keys)).toBe("");
  }, 600_000);

  it("has each variant of a method and each task", () => {
    const files = casesOf(kit).filter((c) => c.name.includes("--"));
    const has = (field: string): Set<string> =>
      new Set(
        files.map((c) => JSON.parse(readFileSync(join(kit, "cases", c.name, "case.json"), "utf8"))[field]),
      );
    const layers = ["lora", "lora-all-linear", "rslora-bias", "lora-bias-lora-only", "dora", "ia3"];
    const prompts = ["prompt", "p-tuning", "p-tuning-lstm", "prefix", "prefix-projection"];
    const special = [
      "tokens",
      "embedding",
      "patterns",
      "regex",
      "pissa",
      "olora",
      "modules-to-save",
      "experts",
    ];
    const variants = [
      ...layers,
      ...prompts,
      ...special.map((s) => `lora-${s}`),
      "dora-patterns",
      "ln-tuning",
    ];
    expect([...has("method")].sort()).toEqual(variants.sort());
    const sequences = ["SEQ_2_SEQ_LM", "CAUSAL_LM", "SEQ_CLS"];
    expect([...has("task")].sort()).toEqual(
      [...sequences, "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"].sort(),
    );
  });
});

describe("a kit with one change fails", () => {
  const name = "bert--lora";
  let folder: string;
  const at = (...path: string[]): string => join(folder, ...path);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "peft-kit-"));
    for (const part of [
      `cases/${name}`,
      "models/bert",
      "cases/t5--lora",
      "models/t5",
      "models/llama",
      "multi",
    ])
      cpSync(join(kit, part), at(part), { recursive: true });
    for (const part of ["formats", "schedules.json", "scores.safetensors", "tokenizers/unigram"])
      cpSync(join(kit, part), at(part), { recursive: true });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Runs a case with one file changed, and puts the file back. */
  async function withChange(
    path: string,
    change: (file: Buffer) => Buffer,
    only = /^bert--lora$/,
  ): Promise<string[]> {
    const before = readFileSync(at(path));
    writeFileSync(at(path), change(Buffer.from(before)));
    try {
      const result = await run(folder, only);
      expect(verdictOf(result)).toBe("FAILED");
      return linesOf("", result);
    } finally {
      writeFileSync(at(path), before);
    }
  }
  const text = (from: RegExp | string, to: string) => (file: Buffer) => {
    const changed = file.toString().replace(from, to);
    expect(changed).not.toBe(file.toString());
    return Buffer.from(changed);
  };
  /** Adds to the last number of a tensor. */
  async function nudge(path: string, key: string, by: number): Promise<(file: Buffer) => Buffer> {
    const tensor = (await openSafetensors(at(path))).tensors.get(key)!;
    const last = tensor.offset + tensor.bytes - 4;
    return (file) => {
      file.writeFloatLE(file.readFloatLE(last) + by, last);
      return file;
    };
  }

  it("passes unchanged", async () => {
    expect(verdictOf(await run(folder, /^bert--lora$/))).toBe("passed");
  });

  const expectFile = `cases/${name}/expect.safetensors`;
  const grad = "grad.base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight";
  it.each([
    ["base.logits", 1e-3],
    ["adapted.loss", 1e-3],
    ["second.logits", 1e-3],
    [grad, 1e-2],
    [grad.replace("grad", "firm.trained"), 1e-2],
    ["train.losses", 1e-3],
    ["firm.losses", 1e-3],
    ["merged.logits", 1e-3],
    ["merged.weight.bert.encoder.layer.0.attention.self.query.weight", 1e-3],
  ])("in %s", async (key, by) => {
    const lines = await withChange(expectFile, await nudge(expectFile, key, by));
    expect(lines.slice(1).map((line) => line.trim().split(":")[0])).toContain(key);
  });

  it("in the adapter's weights", async () => {
    const path = `cases/${name}/adapter_model.safetensors`;
    const key = "base_model.model.bert.encoder.layer.1.attention.self.value.lora_B.weight";
    expect((await withChange(path, await nudge(path, key, 0.1))).join()).toMatch(
      /adapted\.logits: .* of 1e-4/,
    );
  });

  it.each([
    ["a count", `cases/${name}/case.json`, /"trainable": (\d)/, '"trainable": 9$1', /counts\.trainable/],
    [
      "a setting of generation",
      `cases/${name}/case.json`,
      /"min_new_tokens": 2/,
      '"min_new_tokens": 3',
      /generate/,
    ],
    [
      "the adapter's config",
      `cases/${name}/adapter_config.json`,
      /"lora_alpha": 8/,
      '"lora_alpha": 9',
      /adapted/,
    ],
    [
      "the model's config",
      "models/bert/config.json",
      /"layer_norm_eps": 0.002/,
      '"layer_norm_eps": 0.02',
      /base/,
    ],
  ])("in %s", async (_, path, from, to, says) => {
    expect((await withChange(path, text(from, to))).slice(1).join()).toMatch(says);
  });

  it("where a key is missing, or nobody knows it", async () => {
    const rename = (from: string, to: string) => (file: Buffer) => {
      const start = file.indexOf(`"${from}"`);
      expect(start).toBeGreaterThan(0);
      file.write(`"${to}"`, start);
      return file;
    };
    const lines = (await withChange(expectFile, rename("second.logits", "second.legits"))).join("\n");
    expect(lines).toMatch(/second\.logits: the kit has no such key/);
    expect(lines).toMatch(/unknown\.second\.legits: nothing checks this key/);
    const inputs = await withChange(expectFile, rename("input.labels", "input.labbels".slice(0, 12)));
    expect(inputs.join()).toMatch(/adapted\.loss/);
  });

  it.each([
    ["multi", "multi/expect.safetensors", "logits.mixed", /^multi$/, /multi\.mixed/],
    ["formats", "formats/expect.safetensors", "bf16.logits", /^formats\/bf16$/, /formats\.logits/],
    ["scores", "scores.safetensors", "temperature-0.7", /^scores/, /scores\.temperature-0\.7/],
  ])("in %s", async (_, path, key, only, says) => {
    expect((await withChange(path, await nudge(path, key, 1e-3), only)).join()).toMatch(says);
  });

  it("in a schedule, a tokenizer, an adapter of several", async () => {
    const schedule = text("0.00075,", "0.00076,");
    expect((await withChange("schedules.json", schedule, /^schedules/)).join()).toMatch(/schedules\.linear/);
    const ids = text(/"ids": \[\n3,\n201/, '"ids": [\n3,\n202');
    expect((await withChange("tokenizers/unigram/expect.json", ids, /^tokenizers/)).join()).toMatch(/ids\.2/);
    const alpha = text('"lora_alpha": 8', '"lora_alpha": 7');
    expect((await withChange("multi/third/adapter_config.json", alpha, /^multi$/)).join()).toMatch(
      /multi\.third/,
    );
  });

  it("where a file that must be refused is one that loads", async () => {
    const good = readFileSync(at("cases/t5--lora/adapter_model.safetensors"));
    const lines = await withChange("formats/refused/overlap.safetensors", () => good, /^formats\/refused$/);
    expect(lines.join()).toMatch(/refused\.overlap\.safetensors, opened: not refused: it loads/);
  });
});

describe("what is not covered", () => {
  it("is a case of an unknown model or method, its keys by name", async () => {
    const folder = mkdtempSync(join(tmpdir(), "peft-kit-"));
    cpSync(join(kit, "models/bert"), join(folder, "models/bert"), { recursive: true });
    cpSync(join(kit, "cases/bert--lora"), join(folder, "cases/bert--lora"), { recursive: true });
    const path = join(folder, "models/bert/config.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"bert"', '"bort"'));
    const result = await run(folder, /./);
    rmSync(folder, { recursive: true });
    expect(verdictOf(result)).toBe("not covered");
    expect(result.notCovered?.reason).toBe('model_type "bort"');
    expect(linesOf("x", result).join()).toMatch(/{adapted,base}\.{logits,loss}/);
  });

  it("is listed as a shell would expand it", () => {
    expect(keyList(["a.0.x.w", "a.1.x.w", "b", "b.c", "a.0.y.w", "a.1.y.w"])).toBe("a.{0,1}.{x,y}.w b b.c");
  });
});

describe("the command", () => {
  const command = (...args: string[]): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      const options = { cwd: join(kit, "../..") };
      const all = ["--import", "tsx", "tools/conformance/main.ts", ...args];
      execFile(process.execPath, all, options, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
      );
    });

  it("prints a line per case and the sums", async () => {
    const { code, output } = await command(kit, "--only", "^(bert--lora|scores.safetensors)$");
    expect(output).toMatch(/^passed bert--lora: \d+ checks: counts equal, .*grad [\d.]+e-\d of 1e-4/m);
    expect(output).toMatch(/\n2 passed, 0 failed, 0 not covered\n$/);
    expect(code).toBe(0);
  });

  it("exits non-zero without a kit, and where nothing was run", async () => {
    expect(await command("/nowhere")).toMatchObject({ code: 2, output: expect.stringMatching(/usage/) });
    expect((await command(kit, "--only", "nothing at all")).code).toBe(1);
  });
});
