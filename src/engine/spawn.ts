import { existsSync } from "node:fs";
import { type ResourceLimits, Worker } from "node:worker_threads";
import { PeftError } from "../errors.js";
import type { Gate } from "./gate.js";

/** The worker's JavaScript makes little garbage: its young generation stays small. */
const resourceLimits: ResourceLimits = { maxYoungGenerationSizeMb: 3 };

/**
 * Starts worker.ts, compiled in the package, or from source through tsx in a checkout.
 * @throws engine where a bundle has no worker beside it
 */
export function spawnWorker(gate: Gate): Worker {
  const workerData = gate;
  const here: string | undefined = import.meta.url; // a bundle of CommonJS has none
  if (here?.endsWith(".ts") === true) return fromSource(here, gate);
  const worker = here === undefined ? undefined : new URL("./worker.js", here);
  if (worker !== undefined && existsSync(worker)) return new Worker(worker, { workerData, resourceLimits });
  throw new PeftError("engine", {
    what:
      worker === undefined ? "The engine has no worker." : `The engine's worker is not at ${worker.href}.`,
    why: "peft.js was put into a bundle, and its engine runs in a file of its own.",
    fix: "bundle peft.js/worker beside it: esbuild app.js worker=peft.js/worker --bundle --platform=node --format=esm --external:onnxruntime-node --outdir=out; see docs/bundling.md.",
  });
}

function fromSource(here: string, workerData: Gate): Worker {
  const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const entry = JSON.stringify(new URL("./worker.ts", here).href);
  const code = `import(${tsx}).then((tsx) => { tsx.register(); return import(${entry}); })`;
  return new Worker(code, { eval: true, execArgv: [], workerData, resourceLimits });
}
