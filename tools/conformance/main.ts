import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCase } from "./case.js";

/** npm run conformance -- FOLDER [--only REGEX] */
const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: "string" } } });
const kit = positionals[0];
if (kit === undefined || !existsSync(join(kit, "cases"))) {
  console.error("usage: npm run conformance -- FOLDER [--only REGEX], where FOLDER is a kit (it has cases/)");
  process.exit(2);
}
const only = new RegExp(values.only ?? ".");
let passed = 0;
let failed = 0;
let notCovered = 0;
for (const name of readdirSync(join(kit, "cases")).sort()) {
  if (!only.test(name)) continue;
  try {
    const result = await runCase(kit, name);
    if ("notCovered" in result) {
      notCovered++;
      console.log(`not covered ${name}: ${result.notCovered}`);
      continue;
    }
    const bad = result.checks.filter((k) => !(k.share <= 1));
    if (bad.length > 0) failed++;
    else passed++;
    const worst = result.checks.reduce((a, b) => (b.share > a.share ? b : a));
    console.log(
      `${bad.length > 0 ? "FAILED" : "passed"} ${name}: ${result.checks.length} checks, worst ${worst.key} ${worst.share.toPrecision(2)}`,
    );
    for (const { key, share, note } of bad.slice(0, 12))
      console.log(`    ${key}: ${share.toPrecision(3)} ${(note ?? "").slice(0, 300)}`);
  } catch (error) {
    failed++;
    console.log(
      `FAILED ${name}: ${error instanceof Error ? (error.stack ?? error.message).slice(0, 900) : error}`,
    );
  }
}
console.log(`${passed} passed, ${failed} failed, ${notCovered} not covered`);
process.exit(failed > 0 ? 1 : 0);
