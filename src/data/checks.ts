import { option, words } from "../words.js";
import type { TaskType } from "./batch.js";
import { count, refuse } from "./faults.js";
import type { Row } from "./row.js";
import { type Sample, sequencesOf } from "./sample.js";
import { dataTaskOf } from "./tasks/registry.js";
import type { Outcome } from "./tasks/task.js";
import type { TokenizerLike } from "./types.js";

/**
 * What encoded rows must hold to before a model sees them; each check throws `data` with all rows that fail
 * it.
 */

export function refuseKinds(rows: readonly Row[], task: TaskType): void {
  const { accepts } = dataTaskOf(task);
  const wrong = rows.filter((row) => !accepts.includes(row.kind));
  refuse(
    wrong.map((row) => ({ at: row.at, says: `kind "${row.kind}"` })),
    {
      what: (n) => `${count(n, "row")} of a kind that ${task} is not trained on`,
      why: `${task} takes ${accepts.join(", ")}.`,
      fix: words`load the file with ${option("taskType", task)}, or say what its rows are: ${option("kind", accepts[0])}.`,
    },
  );
}

export function refuseEmpty<T extends TaskType>(empty: readonly Outcome<T>[], maxLength: number): void {
  refuse(
    empty.map(({ at, encoded }) => ({
      at,
      says: encoded.labelsCut ? `all of it lies beyond ${maxLength} tokens` : "its target is empty or masked",
    })),
    {
      what: (n) => `${count(n, "row")} with nothing to learn`,
      why: "all their labels are masked or cut off, so they would add nothing but zeros, or NaN, to the loss.",
      fix: words`raise ${option("maxLength")}, correct the rows, or drop them: ${option("emptyLabels", "drop")}.`,
    },
  );
}

export function refuseIds(samples: readonly Sample[], tokenizer: TokenizerLike, vocabSize: number): void {
  const faults = samples.flatMap((sample) => {
    const beyond = sequencesOf(sample).flatMap(({ inputIds }) => [
      ...inputIds.filter((id) => id >= vocabSize),
    ]);
    beyond.push(
      ...(dataTaskOf(sample.task)
        .target?.(sample)
        .filter((id) => id >= vocabSize) ?? []),
    );
    if (beyond.length === 0) return [];
    const some = [...new Set(beyond)].slice(0, 3);
    return [
      {
        at: sample.at,
        says: some.map((id) => `${id} (${JSON.stringify(tokenizer.decode([id]))})`).join(", "),
      },
    ];
  });
  refuse(faults, {
    what: (n) => `${count(n, "row")} with token ids beyond the vocabulary`,
    why: `the model embeds ids 0 to ${vocabSize - 1}.`,
    fix: "use the tokenizer that belongs to the model.",
  });
}

export function refuseClasses(samples: readonly Sample[], numLabels: number): void {
  const faults = samples.flatMap((sample) => {
    const says = dataTaskOf(sample.task).labelFault?.(sample, numLabels);
    return says === undefined ? [] : [{ at: sample.at, says }];
  });
  refuse(faults, {
    what: (n) => `${count(n, "row")} with labels that the model does not have`,
    why: `its head has ${count(numLabels, "label")}.`,
    fix: words`load the model with as many labels as the data has, or give the list it was trained with: ${option("labels")}.`,
  });
}
