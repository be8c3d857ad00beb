import type { TaskType } from "../data/batch.js";
import type { Row } from "../data/row.js";
import type { ModelProblem } from "../tasks/problem.js";
import { taskOf } from "../tasks/registry.js";
import type { Scores } from "../tasks/scores.js";

export interface ScoredTask {
  readonly taskType: TaskType;
  readonly config: ModelProblem;
}

/**
 * Where the config does not say what a classification head is for, the rows' labels do, as they choose its
 * loss.
 */
export function scoresOf({ taskType, config }: ScoredTask, rows: readonly Row[] = []): Scores {
  const { pairs } = taskOf(taskType);
  if (pairs !== undefined && rows[0]?.kind === "preference") return pairs.scores;
  const row = rows.find((r) => "problemType" in r);
  const isMany = row?.problemType === "multi_label_classification";
  return taskOf(taskType).scores(config, isMany ? row.problemType : undefined);
}
