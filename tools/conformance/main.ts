import { parseArgs } from "node:util";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { casesOf, runKit } from "./kit.js";
import { linesOf, nearLimit, verdictOf } from "./report.js";
import type { CaseResult } from "./result.js";

/** npm run conformance -- FOLDER [--only REGEX] [--plan NAME] [--recompute BLOCKS] [--load FORMAT] */
const text = { type: "string" } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: text, plan: text, recompute: text, load: text },
});
const options = {
  plan: values.plan as LoadOptions["plan"],
  recompute: values.recompute === undefined ? undefined : Number(values.recompute),
  load: values.load as LoadOptions["load"],
};
const kit = positionals[0];
if (kit === undefined || casesOf(kit).length === 0) {
  console.error(
    "usage: npm run conformance -- FOLDER [--only REGEX] [--plan fused|checkpointed|streamed] [--recompute BLOCKS] [--load int8|...], " +
      "where FOLDER is a kit (it has cases/, or another of the folders that tools/conformance/kit.ts names); with --load, logits, losses and gradients within that format's limits",
  );
  process.exit(2);
}
const results: (CaseResult & { name: string })[] = [];
for await (const result of runKit(kit, new RegExp(values.only ?? "."), options)) {
  results.push(result);
  for (const line of linesOf(result.name, result)) console.log(line);
}
const near = nearLimit(results);
if (near.length > 0) console.log(["passed, but near their limit:", ...near].join("\n"));
const count = (verdict: string): number => results.filter((r) => verdictOf(r) === verdict).length;
console.log(`${count("passed")} passed, ${count("FAILED")} failed, ${count("not covered")} not covered`);
process.exit(count("FAILED") > 0 || results.length === 0 ? 1 : 0);
