import { imageCls as data } from "../data/tasks/image_cls.js";
import { pictureLabels } from "./head.js";
import { seqCls } from "./seq_cls.js";
import type { Task } from "./task.js";

const { labels, labelForm, loss, scores, predict } = seqCls;

/** A label, several, or a number for each picture. */
export const imageCls: Task<"IMAGE_CLS"> = {
  ...data,
  title: "image classification",
  classEnds: ["ForImageClassification", "ForImageClassificationWithTeacher"],
  byClass: true,
  impliedBy: ["picture"],
  labels,
  head: pictureLabels,
  labelForm,
  loss,
  scores,
  ...(predict && { predict }),
  packs: false,
  generates: false,
};
