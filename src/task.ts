/** PEFT's task types. */
const shipped = [
  "SEQ_CLS",
  "SEQ_2_SEQ_LM",
  "CAUSAL_LM",
  "TOKEN_CLS",
  "QUESTION_ANS",
  "FEATURE_EXTRACTION",
] as const;

export type ShippedTask = (typeof shipped)[number];

/** What a model is for, by name: one of PEFT's task types, or a task that was registered from outside. */
export type TaskType = ShippedTask | (string & {});

/** The names of all tasks; `registerTask` adds to them. */
export const taskTypes: string[] = [...shipped];
