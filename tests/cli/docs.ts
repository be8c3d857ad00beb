/** docs/cli.md, made from `--help`. Write it anew with: node --import tsx tests/cli/docs.ts */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { main } from "../../src/cli/main.js";
import { nodeTerminal } from "../../src/cli/terminal.js";

const introduction = `# The command line

Made from \`peft <command> --help\` by tests/cli/docs.ts; a test holds it to that.

\`\`\`
npx peft train                # trains what ships with the package
npx peft train --model DIR_OR_HUB_ID --data FILE --template "Tweet text : {Tweet text} Label : " --target "{Label}" --output out
npx peft generate --adapter out --prompt "Tweet text : ... Label : "
\`\`\`

- **Options** have three doors with one name each: the flag \`--lora-alpha 16\`, the key \`loraAlpha: 16\` of a JSON or YAML file given
  with \`--config\`, and the option of the API. Python's names (\`lora_alpha\`) are taken as well. Flags win over the file. A key that
  does not exist is an error that names the nearest. \`peft schema > peft.schema.json\` writes the JSON Schema of such files:
  a YAML file whose first line is \`# yaml-language-server: $schema=./peft.schema.json\`, and a JSON file with the key \`$schema\`,
  are completed and checked by editors.
- **Options of a method** are those of its config class; \`--method NAME --help\` lists them, and [methods.md](methods.md#every-option)
  those of all. One of another method is an error. \`--target-modules q,v\` names layers,
  \`--target-modules all-linear\` means all, and anything with a sign of a regular expression in it is one (full match).
- **Data**: a prompt and what follows it (\`--template\`, \`--target\`), classes (\`--text\`, \`--label\`, \`--pair\`), chats (\`--messages\`),
  words with tags, questions with answers. Without these the columns' usual names tell,
  and \`peft eval --adapter out\` reads rows as the run in out did. \`peft data\` shows what will be learnt.
- **Validation**: of 200 rows or more \`peft train\` keeps a tenth (20 at least, 1000 at most) to evaluate on, drawn by \`--seed\`, and
  says so; \`--validation FILE\` or \`--validation-split\` take others, \`--validation none\` learns all. In code the Trainer does so with
  \`validation: "auto"\`.
- **The output folder** of \`peft train\` holds the adapter as Python's PEFT loads it, \`metrics.jsonl\`, \`report.html\`, checkpoints, and
  \`run.json\`: what was asked for. The same command again goes on where an interrupted run stopped; a finished run, one with other
  options or data, or other files in the folder are refused. \`--overwrite\` removes the former run (and nothing else) and starts anew; \`--epochs +2\` goes on with a
  finished one, by its own options.
- **Several runs**: \`--sweep lr=1e-4,3e-4 r=8,16\` trains each combination in a folder of its own below the output folder (values that
  hold commas stand between semicolons), prints a table with the best figures marked, and writes \`runs.html\`. Given again, it goes on
  where it was. \`peft report FOLDER\` does the same for any runs in a folder.
- **TensorBoard**: \`--tensorboard\` writes its event files too: \`tensorboard --logdir out/tensorboard\`.
- **Ctrl-C** stops after the step and saves a checkpoint; a second time ends at once.
- **Results** go to stdout, the work is told on stderr. Exit codes: 0; 1 for an error, in three lines: what, why, fix (\`--debug\` adds
  where it comes from); 2 where the command cannot be understood; 130 after Ctrl-C.
- **Hub**: a model or adapter that is no folder is a Hub id; downloads go to the cache that Python uses. HF_TOKEN, HF_HOME, HF_ENDPOINT and
  HF_HUB_OFFLINE mean what they mean there. \`peft push\` sends adapters, model, tokenizer
  and README.md; checkpoints, metrics, report and training_config.json (it names your paths) stay.
`;

const verbs = [
  "train",
  "reward",
  "grpo",
  "rloo",
  "ppo",
  "predict",
  "generate",
  "eval",
  "merge",
  "convert",
  "info",
  "data",
  "report",
  "push",
  "doctor",
  "schema",
];

async function help(verb: string): Promise<string> {
  let text = "";
  await main([verb, "--help"], { ...nodeTerminal(), write: (piece) => void (text += piece) });
  return `## peft ${verb}\n\n\`\`\`\n${text.trim()}\n\`\`\`\n`;
}

export async function cliPage(): Promise<string> {
  const sections: string[] = [];
  for (const verb of verbs) sections.push(await help(verb));
  return [introduction, ...sections].join("\n");
}

export const cliPagePath: string = fileURLToPath(new URL("../../docs/cli.md", import.meta.url));

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(cliPagePath, await cliPage());
