import type { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it, vi } from "vitest";
import { checkEngine, Engine, probeDevices } from "./engine.js";
import { isOutOfMemory } from "./out_of_memory.js";

// A worker that dies, in whatever way, is an error for everyone who waits; nothing waits for ever.
const workers: Worker[] = [];
const code = vi.hoisted(() => ({ now: "" }));
vi.mock("./spawn.js", async () => {
  const { Worker } = await import("node:worker_threads");
  return {
    spawnWorker: () => {
      const resourceLimits = { maxOldGenerationSizeMb: 16 };
      workers.push(new Worker(code.now, { eval: true, resourceLimits, stderr: true }));
      return workers.at(-1);
    },
  };
});
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.terminate();
});

/** Answers until it is asked to run; then it dies. */
const dying = (death: string): string =>
  `const { parentPort } = require("node:worker_threads");
  parentPort.on("message", ({ id, request }) => {
    if (request.kind === "run") { ${death} }
    else parentPort.postMessage({ id, ok: true, value: undefined });
  });`;

const DEATHS = {
  "an exit": ["process.exit(3)", /worker ended with code 3/],
  "a crash": ["throw new Error('segments are at fault')", /worker failed \(segments are at fault\)/],
  "an unhandled rejection": ["Promise.reject(new Error('nobody cares'))", /worker failed \(nobody cares\)/],
  "want of memory": ["const all = []; for (;;) all.push(new Array(1e5).fill({}))", /memory/],
} as const;

describe.each(Object.entries(DEATHS))("%s", (_, [death, message]) => {
  it("is told to all that wait, and to all that come after", async () => {
    code.now = dying(death);
    const engine = await Engine.open(new Map());
    const waiting = [engine.run("x", {}), engine.put({}), engine.release(["y"])];
    const all = await Promise.allSettled(waiting);
    expect(all[0]).toMatchObject({
      status: "rejected",
      reason: { code: "engine", message: expect.stringMatching(message) },
    });
    await expect(engine.run("x", {})).rejects.toThrow(/\[engine\] The engine is not running/);
    await engine.close();
  });

  it("in answer to a single question too", async () => {
    code.now = dying(death).replace('"run"', '"device"');
    await expect(checkEngine({ device: "webgpu" })).rejects.toThrow(/\[engine\] The engine is not running/);
    code.now = dying(death).replace('"run"', '"devices"');
    await expect(probeDevices()).rejects.toThrow(/\[engine\]/);
  });
});

it("a worker that was ended from outside is told too", async () => {
  code.now = `require("node:worker_threads").parentPort.once("message", ({ id }) => {
    require("node:worker_threads").parentPort.postMessage({ id, ok: true });
    setInterval(() => {}, 1000);
  });`;
  const engine = await Engine.open(new Map());
  const run = engine.run("x", {});
  void workers[0]!.terminate();
  await expect(run).rejects.toThrow(/\[engine\].*worker ended with code 1/s);
});

it("what cannot be handed over is an error of that call alone", async () => {
  code.now = dying("");
  const engine = await Engine.open(new Map());
  const data = new Float32Array(4);
  structuredClone(data.buffer, { transfer: [data.buffer] });
  const put = engine.put({ x: { dtype: "f32", shape: [4], data } });
  await expect(put).rejects.toThrow(/\[engine\] A tensor could not be handed/);
  await engine.put({});
  await engine.close();
});

it.each([
  "std::bad_alloc",
  "Array buffer allocation failed",
  "Failed to allocate memory for requested buffer of size 4096",
  "Non-zero status code returned: bad allocation? no: out of memory",
])("%s is want of memory", (message) => {
  expect(isOutOfMemory(new Error(message))).toBe(true);
  expect(isOutOfMemory(new Error("Invalid rank for input"))).toBe(false);
});
