import { commandLine } from "./flags.js";

/** Tasks whose models write text. */
const writing: readonly unknown[] = ["SEQ_2_SEQ_LM", "CAUSAL_LM"];

/** Commands that use an adapter or a model of this task: only what works for it. */
export function waysToUse(
  what: { readonly adapter: string } | { readonly model: string },
  task: unknown,
  prompt = "your text",
): string[] {
  return [
    ...(writing.includes(task) ? [commandLine("generate", { ...what, prompt })] : []),
    commandLine("eval", { ...what, data: "FILE" }),
  ];
}
