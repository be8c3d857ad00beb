import { parseArgs } from "node:util";
import { chains } from "./chains.js";
import { type Chain, killChain } from "./kill_chain.js";

/**
 * npm run kills -- COUNT SEED [--only train|merge|quantize|download]: kills commands at random moments
 * (SIGKILL), runs each again until it ends, and compares every file with those of a run that nobody killed.
 * A count on stderr as it goes, a line for each difference, a table at the end; 1 where one differs.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" } },
});
const [count = 100, seed = 0] = positionals.map(Number);

const selected = Object.entries(chains).filter(([name]) => values.only === undefined || values.only === name);
const rows = await Promise.all(
  selected.map(async ([name, open]) => battery(name, await open(), Math.ceil(count / selected.length))),
);
console.log(
  "| command | kills | runs to the end | refused, differing or with leftovers |\n|---|---|---|---|",
);
for (const { name, kills, ends, faults } of rows) console.log(`| ${name} | ${kills} | ${ends} | ${faults} |`);
process.exit(rows.some(({ faults }) => faults > 0) ? 1 : 0);

async function battery(name: string, chain: Chain, most: number) {
  let [kills, ends, faults] = [0, 0, 0];
  try {
    for (let i = 0; kills < most; i++) {
      const result = await killChain(chain, seed * 1000 + i);
      kills += result.kills;
      ends++;
      console.error(`${name}: ${kills} kills, ${ends} runs to the end`);
      if (result.fault === undefined) continue;
      faults++;
      console.log(`${name} ${seed * 1000 + i}, after ${result.kills} kills: ${result.fault}`);
    }
  } finally {
    await chain.close();
  }
  return { name, kills, ends, faults };
}
