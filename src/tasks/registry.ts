import type { TaskType } from "../data/batch.js";
import { dataTasks, unknownTask } from "../data/tasks/registry.js";
import { Registry } from "../registry.js";
import { taskTypes } from "../task.js";
import { audioCls } from "./audio_cls.js";
import { audioFrameCls } from "./audio_frame_cls.js";
import { causalLM } from "./causal_lm.js";
import { ctc } from "./ctc.js";
import { featureExtraction } from "./feature_extraction.js";
import type { Head } from "./head.js";
import { imageCls } from "./image_cls.js";
import { imageText } from "./image_text.js";
import { questionAns } from "./question_ans.js";
import { seq2SeqLM } from "./seq_2_seq_lm.js";
import { seqCls } from "./seq_cls.js";
import { speechSeq2Seq } from "./speech_seq_2_seq.js";
import type { Task } from "./task.js";
import { tokenCls } from "./token_cls.js";

const shipped: readonly Task[] = [
  ...[seq2SeqLM, causalLM, seqCls, tokenCls, questionAns, featureExtraction],
  ...[speechSeq2Seq, audioCls, audioFrameCls, ctc, imageCls, imageText],
];

/** Every task, by its name. */
export const tasks: Registry<Task> = new Registry("task", shipped, ({ name }) => [name]);

/** Throws "unknown-task". */
export function taskOf(name: TaskType): Task {
  const found = tasks.find(name);
  if (found !== undefined) return found;
  throw unknownTask(name, tasks.all);
}

/** All heads of a task, the one that makes its logits first. */
export function headsOf(task: TaskType): readonly Head[] {
  const { head, heads = {} } = taskOf(task);
  return [head, ...Object.values(heads)];
}

/** Modules of a task's heads: they train whole beside an adapter. */
export function headModules(task: TaskType): readonly string[] {
  return headsOf(task).flatMap(({ modules }) => modules);
}

/**
 * Adds a task: models load for it, rows become its batches, and the `Trainer` and `evaluate` work on it from
 * then on.
 * @throws "registered" where its name is known
 * @example
 * ```ts
 * import { registerTask, type Task } from "peft.js";
 *
 * declare const myTask: Task; // see docs/extending.md
 * registerTask(myTask);
 * ```
 */
export function registerTask<T extends TaskType>(task: Task<T>): void {
  const plain = task as unknown as Task;
  tasks.register(plain);
  dataTasks.register(plain);
  taskTypes.push(plain.name);
}

/** Whether a value is the name of a task that is known. */
export function isTaskType(name: unknown): name is TaskType {
  return tasks.find(name) !== undefined;
}

/**
 * The task that one of the classes of transformers is for, by the longest end; undefined: a bare model,
 * or another class.
 */
export function taskOfClass(name: string): TaskType | undefined {
  const headed = tasks.all.filter(({ head }) => !head.isBare);
  const ends = headed.flatMap(({ name, classEnds }) => classEnds.map((end) => ({ name, end })));
  return longestEnd(name, ends)?.name;
}

/**
 * The class of a model with this config.json for a task, as transformers names it; undefined: its config.json
 * names none.
 */
export function classOf(
  { architectures }: Readonly<Record<string, unknown>>,
  task: TaskType,
): string | undefined {
  const [name] = [architectures].flat();
  if (typeof name !== "string") return undefined;
  const { classEnds } = taskOf(task);
  if (taskOfClass(name) === task || classEnds.some((end) => name.endsWith(end))) return name;
  const known = [...tasks.all.flatMap(({ classEnds }) => classEnds), "PreTrainedModel"];
  const end = longestEnd(
    name,
    known.map((end) => ({ end })),
  )?.end;
  const model = name.replace(end ?? /For[A-Z]\w*$/, "");
  return classEnds.find((end) => end.startsWith(model)) ?? model + classEnds[0];
}

function longestEnd<T extends { readonly end: string }>(name: string, known: readonly T[]): T | undefined {
  const longestFirst = known.toSorted((a, b) => b.end.length - a.end.length);
  return longestFirst.find(({ end }) => name.endsWith(end));
}
