import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Finding } from "./battery.js";
import { targets } from "./targets.js";

/**
 * npm run fuzz -- TARGET|all SECONDS SEED [INPUT]: damaged inputs for a parser, as many as the seconds allow,
 * with what no input may do: errors that are not our own, more than 2 s, more than 200 MB. With INPUT, writes
 * that one input to stdout.
 */
const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
const entry = JSON.stringify(new URL("worker.ts", import.meta.url).href);
const CODE = `import(${tsx}).then((tsx) => { tsx.register(); return import(${entry}); })`;

const [name = "all", ...numbers] = process.argv.slice(2);
const [seconds = 10, seed = 1, input] = numbers.map(Number);
const names = name === "all" ? Object.keys(targets) : [name];
if (names.some((each) => targets[each] === undefined)) {
  console.error(
    `usage: npm run fuzz -- TARGET SECONDS SEED; targets: all, ${Object.keys(targets).join(", ")}`,
  );
  process.exit(2);
}
if (input !== undefined) {
  const { mutated } = await import("./battery.js");
  process.stdout.write(mutated(await targets[name]!(), seed, input));
  process.exit(0);
}
console.log("| target | inputs | findings |\n|---|---|---|");
let total = 0;
for (const each of names) {
  const { inputs, findings } = await watch(each, seconds, seed);
  total += findings.length;
  console.log(`| ${each} | ${inputs} | ${findings.length} |`);
  for (const { at, says } of distinct(findings)) console.log(`  ${each} ${seed} ${at}: ${says}`);
}
process.exit(total > 0 ? 1 : 0);

/** A worker is ended when one input takes more than HANG, and another goes on behind that input. */
async function watch(each: string, limit: number, first: number) {
  const HANG = 20_000;
  const findings: Finding[] = [];
  const at = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + limit * 1000;
  let from = 0;
  while (performance.now() < end) {
    at[0] = from - 1;
    const worker = new Worker(CODE, {
      eval: true,
      execArgv: [],
      workerData: { name: each, seed: first, from, at },
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
    let died: string | undefined;
    worker.on("message", (finding: Finding) => findings.push(finding));
    worker.on("error", (error) => (died = `${error.message}`));
    let [last, since] = [at[0], performance.now()];
    while (performance.now() < end && died === undefined) {
      await sleep(50);
      const now = Atomics.load(at, 0);
      if (now !== last) [last, since] = [now, performance.now()];
      else if (now >= from && performance.now() - since > HANG) died = `hangs for ${HANG} ms`;
    }
    await worker.terminate();
    if (died !== undefined) findings.push({ at: last, says: died });
    if (died !== undefined && last < from) throw new Error(`${each}: ${died}`);
    from = last + 1;
  }
  return { inputs: from, findings };
}

/** One of each kind. */
function distinct(findings: readonly Finding[]): Finding[] {
  const kinds = new Map(findings.map((finding) => [finding.says.replace(/\d+/g, "N"), finding]));
  return [...kinds.values()].slice(0, 40);
}
