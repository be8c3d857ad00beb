import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { optionsOf } from "../../src/cli/options.js";
import { sweptRuns } from "../../src/cli/sweep.js";
import { train } from "../../src/cli/train.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "peft-runs-"));
const at = (name: string): string => join(folder, name);

function peft(...args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ["bin/peft.js", ...args], { cwd: root });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

const steps = (name: string): number[] =>
  readFileSync(at(`${name}/metrics.jsonl`), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .flatMap((event) => (event.type === "step" ? [event.step] : []));

const rows = [
  "message,label",
  ...Array.from({ length: 12 }, (_, i) => `message ${i},${i % 2 ? "no" : "yes"}`),
];
const data = ["--data", at("train.csv"), "--template", "{message} Label :", "--target", "{label}"];
const options = ["--model", "tests/kit/models/t5-text", ...data, "--batch-size", "6", "--samples", "0"];

beforeAll(() => writeFileSync(at("train.csv"), rows.join("\n")));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("--epochs +N", () => {
  const again = ["train", "--output", at("long")];

  test("a finished run goes on by its own options, and its card has the command for all of it", async () => {
    const first = await peft("train", ...options, "--epochs", "2", "--r", "4", "--output", at("long"));
    expect(first.code, first.err).toBe(0);
    const once = await peft("train", ...options, "--epochs", "2", "--r", "4", "--output", at("long"));
    expect(once.err).toContain("train it for longer (--epochs +1)");
    const { code, err } = await peft(...again, "--epochs", "+1");
    expect(code, err).toBe(0);
    expect(err).toContain("3 epochs, 6 steps, from step 4");
    expect(steps("long")).toEqual([1, 2, 3, 4, 5, 6]);
    const card = readFileSync(at("long/README.md"), "utf8");
    expect(card).toContain("## Training");
    expect(card).toContain("--epochs 2 --r 4 --output long --epochs 3\n");
    expect(card).toContain("learning rate 0.001, from PEFT's guides");
    expect(readFileSync(at("long/report.html"), "utf8")).toContain("<td>command</td><td>peft train --model");
    expect(JSON.parse(readFileSync(at("long/run.json"), "utf8"))).toMatchObject({ added: 1, finished: true });
  });

  test("what cannot go on is refused, and why", async () => {
    const none = await peft("train", "--output", at("nothing"), "--epochs", "+2");
    expect(none.err).toContain("why:   no run of `peft train` was there.");
    const counted = await peft("train", ...options, "--max-steps", "1", "--output", at("counted"));
    expect(counted.code, counted.err).toBe(0);
    const { err } = await peft("train", "--output", at("counted"), "--epochs", "+2");
    expect(err).toContain("that run was counted in steps, not in epochs");
    expect(err).toContain(`fix:   start anew with its adapter: --adapter ${at("counted")}`);
  });
});

describe("--sweep", () => {
  test("trains each combination once, and shows them side by side; peft report does it again", async () => {
    const swept = [...options, "--max-steps", "2", "--validation", at("train.csv")];
    const grid = ["--sweep", "lr=1e-9,1e-2", "r=2", "--output", at("sweep")];
    const first = await peft("train", ...swept, ...grid);
    expect(first.code, first.err).toBe(0);
    expect(first.err).toContain("Run 2 of 2: lr=1e-2,r=2");
    expect(first.out).toMatch(/run +lr +train loss +loss .*\nlr=1e-2,r=2 +0.01 .*\nlr=1e-9,r=2 +1e-9 /);
    const page = readFileSync(at("sweep/runs.html"), "utf8");
    expect(page).toContain("<h1>2 runs of t5-text</h1>");
    expect(page).toMatch(/"title":"Validation loss","x":\[2\],"curves":\[\{"label":"lr=1e-2,r=2"/);
    expect(existsSync(at("sweep/lr=1e-9,r=2/adapter_model.safetensors"))).toBe(true);
    const config = readFileSync(at("sweep/lr=1e-9,r=2/run.json"), "utf8");
    expect(config).toContain(`--output ${at("sweep")} --lr 1e-9 --r 2 --output ${at("sweep/lr=1e-9,r=2")}`);

    const second = await peft("train", ...swept, ...grid);
    expect(second.err).toContain(`It is in "${at("sweep/lr=1e-9,r=2")}" already.`);
    const report = await peft("report", at("sweep"));
    expect(report.out).toBe(second.out);
    const empty = await peft("report", at("sweep/lr=1e-9,r=2/checkpoints"));
    expect(empty.err).toContain("holds no run.");
  });

  test("names options as anywhere, and values with commas between semicolons", () => {
    const all = optionsOf(train, []);
    const runs = sweptRuns(["--learning_rate=1e-3", "targetModules=q,v;all-linear"], all);
    expect(runs.map(({ name }) => name)).toEqual([
      "learning_rate=1e-3,targetModules=q,v",
      "learning_rate=1e-3,targetModules=all-linear",
    ]);
    expect(runs[0]?.flags).toEqual(["--lr", "1e-3", "--target-modules", "q,v"]);
    expect(() => sweptRuns(["lr=fast"], all)).toThrow('--lr is "fast".');
    expect(() => sweptRuns(["output=a,b"], all)).toThrow('--sweep names "output".');
    expect(() => sweptRuns(["epoch=1,2"], all)).toThrow("write epochs=1,2.");
    expect(() => sweptRuns(["lr=1", "lr=2"], all)).toThrow("--sweep has lr twice.");
    expect(() => sweptRuns(["lr"], all)).toThrow('--sweep is "lr".');
  });
});
