import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Parameter, Parameters } from "../graph/parameters.js";
import { AdamW } from "./adamw.js";
import { restoreTensors } from "./restore.js";
import { listCheckpoints, loadState, saveState, type TrainingState } from "./saved_state.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "peft-state-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function setUp(): { parameters: Parameters; optimizer: AdamW } {
  const parameters = new Parameters([
    { name: "q.lora_A.weight", shape: [2, 2], data: Float32Array.of(0.1, -0.2, 1e-30, 4e5) },
    { name: "q.lora_B.weight", shape: [1], data: Float32Array.of(0) },
  ]);
  return { parameters, optimizer: new AdamW(parameters, { lr: 0.01 }) };
}

async function train(
  { parameters, optimizer }: ReturnType<typeof setUp>,
  from: number,
  to: number,
): Promise<void> {
  for (let step = from; step < to; step++) {
    for (let i = 0; i < parameters.size; i++) parameters.gradient[i] = Math.sin(7 * step + i);
    parameters.count = 3;
    await optimizer.step();
  }
}

const state = ({ parameters, optimizer }: ReturnType<typeof setUp>, step: number): TrainingState => ({
  step,
  epoch: 1,
  position: 24,
  seeds: { data: 0, dropout: 2 ** 53 - 1 },
  counters: { tokens: 12345, "loss sum": 0.1 + 0.2 },
  best: { step, metric: "loss", value: Number.NaN },
  parameters: parameters.list,
  optimizer: optimizer.state(),
  allocation: [],
});

const byName = (a: Parameter, b: Parameter): number => (a.name < b.name ? -1 : 1);
const sorted = (s: TrainingState): TrainingState => ({
  ...s,
  parameters: s.parameters.toSorted(byName),
  optimizer: { ...s.optimizer, tensors: s.optimizer.tensors.toSorted(byName) },
});

const names = (): string[] => readdirSync(folder).sort();
const plain = (step: number, best?: TrainingState["best"]): TrainingState => {
  const { best: _, ...rest } = state(setUp(), step);
  return best ? { ...rest, best } : rest;
};

describe("saveState and loadState", () => {
  it("give back every bit, and the run goes on as if it had not stopped", async () => {
    const straight = setUp();
    await train(straight, 0, 6);

    const first = setUp();
    await train(first, 0, 3);
    const path = await saveState(folder, state(first, 3));
    expect(path).toBe(join(folder, "checkpoint-3"));

    const loaded = await loadState(folder);
    expect(sorted(loaded)).toEqual(sorted(state(first, 3)));
    expect(await loadState(path)).toEqual(loaded);
    const second = setUp();
    restoreTensors(second.parameters.list, loaded.parameters);
    second.optimizer.load(loaded.optimizer);
    await train(second, 3, 6);
    for (const [i, { data }] of straight.parameters.list.entries())
      expect(second.parameters.list[i]!.data).toEqual(data);
  });

  it("keeps the last ones and the best, and attaches the adapter before the name is given", async () => {
    const best = { step: 1, metric: "accuracy", value: 0.9 };
    for (const step of [1, 2, 3, 10]) {
      await saveState(folder, plain(step, best), {
        attach: async (path) => {
          expect(existsSync(join(folder, `checkpoint-${step}`))).toBe(false);
          writeFileSync(join(path, "adapter.txt"), String(step));
        },
      });
    }
    expect(names()).toEqual(["checkpoint-1", "checkpoint-10", "checkpoint-3"]);
    expect((await listCheckpoints(folder)).map(({ step }) => step)).toEqual([1, 3, 10]);
    expect(readFileSync(join(folder, "checkpoint-10", "adapter.txt"), "utf8")).toBe("10");
    expect((await loadState(folder)).step).toBe(10);
  });

  it("leaves the old one whole where writing fails", async () => {
    await saveState(folder, plain(5));
    const fail = (): Promise<void> => Promise.reject(new Error("disk full"));
    await expect(saveState(folder, plain(5), { attach: fail })).rejects.toThrow("disk full");
    await expect(saveState(folder, plain(6), { attach: fail })).rejects.toThrow("disk full");
    expect(names()).toEqual(["checkpoint-5"]);
    expect((await loadState(folder)).step).toBe(5);
  });

  it("clears what a killed run left, and finds the checkpoint that was being replaced", async () => {
    await saveState(folder, plain(5));
    renameSync(join(folder, "checkpoint-5"), join(folder, ".checkpoint-5.old"));
    mkdirSync(join(folder, ".checkpoint-6.tmp"));
    expect((await loadState(folder)).step).toBe(5);
    await saveState(folder, plain(7));
    expect(names()).toEqual(["checkpoint-5", "checkpoint-7"]);
    await saveState(folder, { ...plain(7), epoch: 9 });
    expect(names()).toEqual(["checkpoint-5", "checkpoint-7"]);
    expect((await loadState(folder)).epoch).toBe(9);
  });

  it("is whole after a kill at any moment", async () => {
    const here = new URL(".", import.meta.url).href;
    const code = `
      import { saveState } from "${here}saved_state.ts";
      const data = new Float32Array(300000);
      for (let step = 1; ; step++) {
        data.fill(step);
        await saveState(${JSON.stringify(folder)}, { step, epoch: 0, position: 0, seeds: {}, counters: {},
          parameters: [{ name: "w", shape: [300000], data }], optimizer: { step, tensors: [] }, allocation: [] }, { keep: 1 });
        if (step === 1) console.log("saved");
      }`;
    for (let run = 0; run < 3; run++) {
      const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code]);
      await new Promise((resolve) => child.stdout.once("data", resolve));
      await sleep(37 * run + 11);
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
      const { step, parameters } = await loadState(folder);
      expect(parameters[0]!.data.every((x) => x === step)).toBe(true);
    }
  });
});

describe("errors", () => {
  it("no checkpoint, another format, a file that was cut", async () => {
    await expect(loadState(folder)).rejects.toThrow(/\[checkpoint\].*holds no checkpoint/);
    const path = await saveState(folder, plain(2));
    const json = join(path, "training_state.json");
    const good = readFileSync(json, "utf8");
    writeFileSync(json, good.replace('"format": 1', '"format": 2').replace('"step": 2', '"step": "x"'));
    await expect(loadState(folder)).rejects.toThrow(/format is 2, not 1; step is "x", not a number/);
    writeFileSync(json, good);
    const tensors = join(path, "training_state.safetensors");
    writeFileSync(tensors, readFileSync(tensors).subarray(0, -4));
    await expect(loadState(folder)).rejects.toThrow(/\[file-format\]/);
  });

  it("a checkpoint of another adapter: every misfit at once, and nothing written", async () => {
    const { parameters } = setUp();
    const saved = [
      { name: "q.lora_A.weight", shape: [4], data: new Float32Array(4) },
      { name: "v.lora_A.weight", shape: [1], data: new Float32Array(1) },
    ];
    expect(() => restoreTensors(parameters.list, saved)).toThrow(
      /q.lora_A.weight has the shape \[4\], not \[2, 2\]; q.lora_B.weight is missing; v.lora_A.weight is not in the model/,
    );
    expect(parameters.list[0]!.data[0]).toBeCloseTo(0.1, 6);
  });
});
