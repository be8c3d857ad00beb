import type { Settings, Verb } from "./options.js";
import { showRuns } from "./sweep.js";
import type { Terminal } from "./terminal.js";

/** `peft report` */
export const runsReport: Verb = {
  name: "report",
  summary: "Set the runs of a folder side by side: what they differ in, what came of it, their curves.",
  examples: ["peft report out", "peft report ."],
  arguments: [{ name: "<folder>", help: "where the runs are; folders in it are looked through" }],
  groups: () => [],
  run,
};

async function run(settings: Settings, terminal: Terminal): Promise<number> {
  await showRuns(settings.text("folder") ?? "", terminal);
  return 0;
}
