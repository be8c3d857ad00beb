import { describeHeader, figures } from "./describe.js";
import type { RunHeader, TrainEventOf } from "./events.js";

/** Lines of the header that say nothing to others: where the base lay, on what machine the run was. */
const AT_HOME = ["model", "engine"];

/** What an adapter's card says of the run that made it. */
export function trainingCard(
  header: RunHeader,
  { evaluation }: Pick<TrainEventOf<"end">, "evaluation">,
  command?: string,
): string {
  const lines = describeHeader(header).map(String);
  const told = lines.filter((line) => !AT_HOME.includes(line.split(" ", 1)[0] ?? ""));
  const came =
    evaluation === undefined
      ? []
      : [
          `${"result".padEnd(9)} ${figures({ ...evaluation.metrics, loss: evaluation.loss }, evaluation.classes)}`,
        ];
  return [
    "",
    "## Training",
    "",
    ...fenced("text", [...told, ...came]),
    ...(command === undefined ? [] : ["", "By this command:", "", ...fenced("sh", [withoutPaths(command)])]),
    "",
  ].join("\n");
}

/** A card is for others: of absolute paths the last name is left. */
function withoutPaths(command: string): string {
  return command.replace(/(?<=[\s'=])(?:[A-Za-z]:)?[\\/](?:[^\s']*[\\/])?([^\s'\\/]+)/g, "$1");
}

/** Text as it is: names of classes may hold marks of Markdown, and end no block. */
function fenced(language: string, lines: readonly string[]): string[] {
  return [`~~~~~~${language}`, ...lines.map((line) => line.replaceAll("~~~~~~", "~~~~~")), "~~~~~~"];
}
