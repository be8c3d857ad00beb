import { PeftError } from "../index.js";
import { completion } from "./completion.js";
import { convert } from "./convert.js";
import { data } from "./data.js";
import { doctor } from "./doctor.js";
import { evaluation } from "./eval.js";
import { inFlags } from "./flags.js";
import { generate } from "./generate.js";
import { info } from "./info.js";
import { merge } from "./merge.js";
import { optionsOf } from "./options.js";
import { prediction } from "./predict.js";
import { preferenceVerbs } from "./preferences.js";
import { runProgram } from "./program.js";
import { push } from "./push.js";
import { report } from "./report.js";
import { rewardAs } from "./reward.js";
import { reinforcementVerbs } from "./rl.js";
import { runsReport } from "./runs_report.js";
import { schema } from "./schema.js";
import { nodeTerminal, type Terminal } from "./terminal.js";
import { train, trainOne } from "./train.js";

/**
 * The command line. Returns the exit code: 1 after an error, 2 where the command cannot be understood, 130
 * after Ctrl-C.
 */
export async function main(argv: readonly string[], terminal: Terminal = nodeTerminal()): Promise<number> {
  const working = [
    ...[
      train,
      ...preferenceVerbs(train, trainOne),
      ...reinforcementVerbs(train, trainOne),
      rewardAs(train),
      prediction,
      generate,
      evaluation,
      merge,
      convert,
      info,
      data,
    ],
    ...[runsReport, push, doctor],
  ];
  const verbs = [...working, schema(working), completion(working)];
  try {
    const { version } = JSON.parse(await terminal.readFile(terminal.packagePath("package.json")));
    return await runProgram(argv, { version, verbs, terminal });
  } catch (error) {
    const verb = verbs.find(({ name }) => name === argv[0]);
    report(error, inFlags(verb === undefined ? [] : optionsOf(verb, argv)), terminal);
    // The stack is for those who ask.
    if (argv.includes("--debug") && error instanceof Error) terminal.note(`\n${error.stack ?? ""}`);
    return error instanceof PeftError && error.code === "aborted" ? 130 : 1;
  }
}
