import { isTaskType, taskOf } from "../index.js";
import { commandLine } from "./flags.js";

/** Commands that use an adapter or a model of this task: only what works for it. */
export function waysToUse(
  what: { readonly adapter: string } | { readonly model: string },
  task: unknown,
  prompt = "your text",
): string[] {
  return [
    ...(isTaskType(task) && taskOf(task).generates ? [commandLine("generate", { ...what, prompt })] : []),
    ...(isTaskType(task) && taskOf(task).predict !== undefined
      ? [
          commandLine("predict", {
            ...what,
            ...(task === "QUESTION_ANS" ? { data: "FILE" } : { text: prompt }),
          }),
        ]
      : []),
    commandLine("eval", { ...what, data: "FILE" }),
  ];
}
