import { parentPort, workerData } from "node:worker_threads";
import { mutated, tryInput } from "./battery.js";
import { targets } from "./targets.js";

/**
 * Runs inputs from number `from` on until it is ended; `at` is shared, so that the watcher sees which input
 * hangs.
 */
console.warn = () => {}; // what a parser says of an input that it takes
process.removeAllListeners("warning");
const { name, seed, from, at } = workerData as { name: string; seed: number; from: number; at: Int32Array };
const target = await targets[name]!();
for (let i = from; ; i++) {
  Atomics.store(at, 0, i);
  const before = process.memoryUsage.rss();
  const start = process.cpuUsage(); // time of the processor: others may have it meanwhile
  const says = await tryInput(target, mutated(target, seed, i));
  const { user, system } = process.cpuUsage(start);
  const took = (user + system) / 1000;
  const grown = process.memoryUsage.rss() - before;
  if (says !== undefined) parentPort!.postMessage({ at: i, says });
  else if (took > 2000) parentPort!.postMessage({ at: i, says: `took ${Math.round(took)} ms` });
  else if (grown > 200e6) parentPort!.postMessage({ at: i, says: `took ${Math.round(grown / 1e6)} MB` });
  if (i % 64 === 0) await new Promise((done) => setImmediate(done));
}
