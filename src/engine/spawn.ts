import { Worker } from "node:worker_threads";
import type { Gate } from "./gate.js";

/** Starts worker.ts, compiled in the package, or from source through tsx in a checkout. */
export function spawnWorker(gate: Gate): Worker {
  const workerData = gate;
  if (!import.meta.url.endsWith(".ts"))
    return new Worker(new URL("./worker.js", import.meta.url), { workerData });
  const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const entry = JSON.stringify(new URL("./worker.ts", import.meta.url).href);
  const code = `import(${tsx}).then((tsx) => { tsx.register(); return import(${entry}); })`;
  return new Worker(code, { eval: true, execArgv: [], workerData });
}
