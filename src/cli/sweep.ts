import { PeftError, readRuns, renderRunsReport, tableOf } from "../index.js";
import { flagName, meantOption, optionKey } from "../options.js";
import { namesOf, type Option, type Settings } from "./options.js";
import { columns } from "./samples.js";
import type { Line, Terminal } from "./terminal.js";
import { checkValues, textValue } from "./values.js";

/** Options that say where a run goes and what it prints, not what it learns. */
const unswept = ["output", "overwrite", "dryRun", "quiet", "verbose", "json", "sweep", "config", "debug"];

/** One run of a sweep. */
export interface SweptRun {
  /** "lr=1e-4,r=8": its folder, too. */
  readonly name: string;
  readonly values: ReadonlyMap<string, unknown>;
  /** The same as words of a command line. */
  readonly flags: readonly string[];
}

/**
 * Every combination of what `--sweep lr=1e-4,3e-4 r=8,16` lists; values that hold commas stand between
 * semicolons. Throws "option" for names that are none, values that do not fit, and options given twice.
 */
export function sweptRuns(texts: readonly string[], options: readonly Option[]): SweptRun[] {
  const lists = texts.map((text) => listOf(text, options));
  const keys = lists.map(([first]) => [...(first?.values.keys() ?? [])][0]);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined)
    throw new PeftError("option", {
      what: `--sweep has ${twice} twice.`,
      why: "a run has one value of it.",
      fix: `write all of them at once: ${twice}=A,B,C.`,
    });
  return lists.reduce<SweptRun[]>(
    (runs, list) =>
      runs.flatMap((run) =>
        list.map(({ name, values, flags }) => ({
          name: run.name === "" ? name : `${run.name},${name}`,
          values: new Map([...run.values, ...values]),
          flags: [...run.flags, ...flags],
        })),
      ),
    [{ name: "", values: new Map(), flags: [] }],
  );
}

/** One option with each of its values. */
function listOf(text: string, options: readonly Option[]): SweptRun[] {
  const [, said = "", rest = ""] = /^(?:--)?([^=]*)=(.*)$/s.exec(text) ?? [];
  const values = rest.split(rest.includes(";") ? ";" : ",").map((value) => value.trim());
  if (said === "" || values.includes(""))
    throw new PeftError("option", {
      what: `--sweep is ${JSON.stringify(text)}.`,
      why: "it lists values of an option.",
      fix: "write --sweep lr=1e-4,3e-4 r=8,16.",
    });
  const names = namesOf(options.filter(({ key }) => !unswept.includes(key)));
  const key = optionKey(said, names) ?? optionKey(said.replaceAll("-", "_"), names);
  const found = key === undefined ? undefined : names[key];
  if (key === undefined || found === undefined) {
    const meant = meantOption(said, names);
    throw new PeftError("option", {
      what: `--sweep names "${said}".`,
      why: "runs cannot differ in it: it is no option, or says where a run goes.",
      fix: meant === undefined ? "name an option of `peft train --help`." : `write ${meant}=${rest}.`,
    });
  }
  return values.map((value) => {
    const read = new Map([[key, textValue(found, value)]]);
    checkValues(read, options);
    return { name: `${said}=${value}`, values: read, flags: [flagName(key), value] };
  });
}

/** Trains every combination into a folder of its own, and sets the runs side by side at the end. */
export async function sweep(
  given: Settings,
  terminal: Terminal,
  { options, train }: { options: readonly Option[]; train: (settings: Settings) => Promise<number> },
): Promise<number> {
  const runs = sweptRuns(given.list("sweep"), options);
  const output = given.text("output") ?? "";
  for (const [i, { name, values, flags }] of runs.entries()) {
    const folder = terminal.join(output, name.replaceAll(/[^\w.=,-]/g, "_"));
    terminal.note(`Run ${i + 1} of ${runs.length}: ${name}`);
    const argv = [...withoutSweep(given.argv), ...flags, "--output", folder];
    const code = await train(given.with(new Map([...values, ["output", folder]]), argv));
    if (code !== 0) return code;
  }
  if (!given.flag("dryRun")) await showRuns(output, terminal);
  return 0;
}

/** The words of a command line but for --sweep and what follows it. */
function withoutSweep(argv: readonly string[]): string[] {
  let isSwept = false;
  return argv.filter((word) => {
    if (word.startsWith("--")) isSwept = word === "--sweep" || word.startsWith("--sweep=");
    return !isSwept;
  });
}

/** Prints the runs in a folder as a table, the best figures marked, and writes a page over them. */
export async function showRuns(folder: string, terminal: Terminal): Promise<void> {
  const runs = await readRuns(folder);
  if (runs.length === 0)
    throw new PeftError("option", {
      what: `"${folder}" holds no run.`,
      why: "neither in it nor below it is a folder with metrics.jsonl and training_config.json.",
      fix: "name a folder that `peft train --output` wrote to, or one with several of them.",
    });
  const { head, rows, best } = tableOf(runs);
  const lines: Line[] = columns([head, ...rows], (row, column) => best[row - 1]?.has(column) === true);
  for (const line of lines) terminal.print(line);
  const path = terminal.join(
    folder,
    runs.length === 1 && runs[0]?.name === "." ? "report.html" : "runs.html",
  );
  if (runs.length > 1) await terminal.writeFile(path, renderRunsReport(runs));
  terminal.print(`The ${runs.length > 1 ? "runs' curves are" : "run's curves are"} in "${path}".`);
}
