import { expect, it } from "vitest";
import { dataTaskOf } from "../data/tasks/registry.js";
import { taskTypes } from "../task.js";
import { classScores, manyLabelScores, numberScores } from "./class_scores.js";
import { problemOf } from "./problem.js";
import { isTaskType, taskOfClass, tasks } from "./registry.js";
import { seqCls } from "./seq_cls.js";

it.each([
  ["T5ForConditionalGeneration", "SEQ_2_SEQ_LM"],
  ["WhisperForConditionalGeneration", "SPEECH_SEQ_2_SEQ"],
  ["WhisperForAudioClassification", "AUDIO_CLS"],
  ["GPT2LMHeadModel", "CAUSAL_LM"],
  ["LlamaForCausalLM", "CAUSAL_LM"],
  ["BertForSequenceClassification", "SEQ_CLS"],
  ["BertForTokenClassification", "TOKEN_CLS"],
  ["BertForQuestionAnswering", "QUESTION_ANS"],
  ["BertModel", undefined],
  ["BertForMaskedLM", undefined],
])("%s is for %s", (name, task) => {
  expect(taskOfClass(name)).toBe(task);
});

it("each name has its row, here and in what data asks", () => {
  expect(tasks.all.map(({ name }) => name).toSorted()).toEqual([...taskTypes].sort());
  for (const { name, ...task } of tasks.all) expect(task).toMatchObject({ encode: dataTaskOf(name).encode });
});

it("knows its names", () => {
  expect(["CAUSAL_LM", "toString", undefined, 3].map(isTaskType)).toEqual([true, false, false, false]);
});

it("a sequence classifier's loss and scores are of what its config says, else of the labels' form", () => {
  const { loss, scores } = seqCls;
  const config = (numLabels: number, problemType?: "multi_label_classification" | "regression") =>
    ({ numLabels, problemType }) as Parameters<typeof loss>[0];
  expect(loss(config(1), "ids")?.name).toBe("regression");
  expect(loss(config(3), "ids")?.name).toBe("classes");
  expect(loss(config(3), "floats")?.name).toBe("multiLabel");
  expect(loss(config(3, "regression"), "floats")?.name).toBe("regression");
  expect(problemOf({ numLabels: 3 })).toBeUndefined();
  expect([scores({ numLabels: 1 }), scores({ numLabels: 3 })]).toEqual([numberScores, classScores]);
  expect(scores({ numLabels: 3 }, "multi_label_classification")).toBe(manyLabelScores);
});
