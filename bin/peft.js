#!/usr/bin/env node
import { existsSync } from "node:fs";
import module from "node:module";
import v8 from "node:v8";

// Garbage of the young generation would grow to 48 MB, which is much beside a small model and saves no time that a
// training step would notice. See docs/log.md.
v8.setFlagsFromString("--semi-space-growth-factor=1");
// A checkout runs from source, so that `npm ci && npx peft` needs no build; the package has only dist/.
const source = new URL("../src/cli/main.ts", import.meta.url);
const inCheckout = existsSync(source);
module.enableCompileCache?.(); // Node 22.8 and later: a start in less time
if (inCheckout) {
  (await import("tsx/cjs/api")).register(); // for rewards.ts in a folder without a package.json
  (await import("tsx/esm/api")).register();
}
const entry = inCheckout ? source : new URL("../dist/cli/main.js", import.meta.url);
const { main } = await import(entry.href);
process.exitCode = await main(process.argv.slice(2));
