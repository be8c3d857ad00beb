/** PEFT's task types, and after these the tasks that have none there. */
export const SHIPPED_TASKS = [
  "SEQ_CLS",
  "SEQ_2_SEQ_LM",
  "CAUSAL_LM",
  "TOKEN_CLS",
  "QUESTION_ANS",
  "FEATURE_EXTRACTION",
  "SPEECH_SEQ_2_SEQ",
  "AUDIO_CLS",
  "AUDIO_FRAME_CLS",
  "CTC",
  "IMAGE_CLS",
  "IMAGE_TEXT",
] as const;

/** The tasks that ship with the package. */
export type ShippedTask = (typeof SHIPPED_TASKS)[number];

/** What a model is for, by name: one of PEFT's task types, or a task that was registered from outside. */
export type TaskType = ShippedTask | (string & {});

/** The names of all tasks; `registerTask` adds to them. */
export const taskTypes: string[] = [...SHIPPED_TASKS];

/** The kinds of labels of a classifier of sequences. */
export const PROBLEM_TYPES = [
  "single_label_classification",
  "multi_label_classification",
  "regression",
] as const;

/** What a sequence classifier learns: one class of several, any number of classes, or numbers. */
export type ProblemType = (typeof PROBLEM_TYPES)[number];
