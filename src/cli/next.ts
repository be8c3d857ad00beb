import { isTaskType, type TaskType, taskOf } from "../index.js";
import { commandLine } from "./flags.js";
import { isOfSound } from "./predict_sound.js";

/** Whether a model of this task is asked about one text by itself. */
function isTextOf(task: TaskType): boolean {
  return task !== "QUESTION_ANS" && taskOf(task).readsText !== false;
}

/** Commands that use an adapter or a model of this task: only what works for it. */
export function waysToUse(
  what: { readonly adapter: string } | { readonly model: string },
  task: unknown,
  prompt = "your text",
): string[] {
  if (typeof task === "string" && isOfSound(task))
    return [
      commandLine("predict", { ...what, data: "call.mp3" }),
      commandLine("eval", { ...what, data: "FILE" }),
    ];
  return [
    ...(isTaskType(task) && taskOf(task).generates ? [commandLine("generate", { ...what, prompt })] : []),
    ...(isTaskType(task) && taskOf(task).predict !== undefined
      ? [
          commandLine("predict", {
            ...what,
            ...(isTextOf(task) ? { text: prompt } : { data: "FILE" }),
          }),
        ]
      : []),
    commandLine("eval", { ...what, data: "FILE" }),
  ];
}
