import { PeftError } from "../index.js";
import { option, type Words, words } from "../words.js";

const every = words`leave it out: every step is an event, and a line of metrics.jsonl.`;
const same = words`leave it out: the same command goes on by itself where a run was interrupted.`;
const way = (name: string, value: unknown): Words => words`use ${option(name, value)}.`;

/** What others have an option for and we have not, by its name in camelCase, and what to do here. */
const otherWays: Readonly<Record<string, Words>> = {
  bf16: way("load", "bf16"),
  fp16: way("load", "f16"),
  loadIn8bit: way("load", "int8"),
  loadIn4bit: way("load", "nf4"),
  useDoubleQuant: way("load", "nf4"),
  torchDtype: way("load", "bf16"),
  deviceMap: way("device", "cpu"),
  gradientCheckpointing: way("plan", "checkpointed"),
  maxMemoryGb: way("maxMemory", "4GB"),
  resume: same,
  resumeFromCheckpoint: same,
  loggingSteps: every,
  loggingStrategy: every,
  reportTo: every,
  doTrain: words`leave it out: peft train trains.`,
  doEval: words`give rows to evaluate on: ${option("validation", "FILE")}.`,
  optim: words`leave it out: the optimizer is AdamW.`,
  packing: words`leave it out: padding is computed nowhere but in attention.`,
};

/**
 * An error for an option of others that we do in another way; undefined: nobody has it. `name` as it was
 * written.
 */
export function otherWay(where: string, name: string): PeftError | undefined {
  const key = name.replace(/^-+/, "").replace(/[_-]+([a-zA-Z0-9])/g, (_, c: string) => c.toUpperCase());
  const fix = Object.hasOwn(otherWays, key) ? otherWays[key] : undefined;
  if (fix === undefined) return undefined;
  return new PeftError("option", {
    what: `${where} has no option ${name}.`,
    why: "what it says is said in another way here.",
    fix,
  });
}
