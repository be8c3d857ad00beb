import { PeftError } from "../index.js";
import { adapterOption, engineGroup, modelGroup, openWithoutTokenizer } from "./model.js";
import { waysToUse } from "./next.js";
import type { Settings, Verb } from "./options.js";
import type { Terminal } from "./terminal.js";

const DTYPES = ["f32", "f16", "bf16"] as const;

/** `peft merge` */
export const merge: Verb = {
  name: "merge",
  summary: "Merge an adapter into its base: a plain folder that transformers loads.",
  examples: [
    "peft merge --adapter out --output merged",
    "peft merge --model bigscience/mt0-large --adapter me/tweets --output merged --dtype f16",
  ],
  groups: () => [
    modelGroup("the adapter's own base", adapterOption),
    {
      title: "Output",
      options: [
        { key: "output", kind: "text", value: "FOLDER", help: "where to put the merged model" },
        {
          key: "dtype",
          kind: "text",
          help: "how to store the weights",
          choices: DTYPES,
          byDefault: "f32",
        },
        { key: "overwrite", kind: "flag", help: "write into a folder that is not empty" },
      ],
    },
    engineGroup,
  ],
  run,
};

async function run(settings: Settings, terminal: Terminal): Promise<number> {
  const { adapter, output } = await checkFolder(settings, terminal, "merge");
  const { base, adapted } = await openWithoutTokenizer(settings, terminal);
  try {
    const dtype = settings.oneOf("dtype", DTYPES) ?? "f32";
    await terminal.interruptible(
      () => terminal.note("\nStopping; nothing half written stays."),
      (signal) => adapted!.saveMerged(output, { dtype, signal }),
    );
    terminal.print(
      `Merged "${adapter}" into "${base.name}". The whole model is in "${output}", in ${dtype}.`,
    );
    terminal.note(`Next: ${waysToUse({ model: output }, base.taskType)[0]}`);
    return 0;
  } finally {
    await base.close();
  }
}

/** The adapter and the folder that a command needs. Throws "option", and "output" for a folder in use. */
export async function checkFolder(
  settings: Settings,
  terminal: Terminal,
  verb: string,
): Promise<{ readonly adapter: string; readonly output: string }> {
  const [adapter, output] = [settings.text("adapter"), settings.text("output")];
  if (adapter === undefined || output === undefined) throw missing(adapter === undefined, verb);
  const names = (await terminal.list(output)).filter((name) => !/^\..*\.tmp$/.test(name)); // of a killed merge
  if (names.length > 0 && !settings.flag("overwrite")) throw notEmpty(output, names);
  await terminal.checkWritable(output);
  return { adapter, output };
}

function missing(isAdapter: boolean, verb: string): PeftError {
  return new PeftError("option", {
    what: isAdapter ? "No adapter is given." : "No output folder is given.",
    why: isAdapter ? `there is nothing to ${verb}.` : "the base and the adapter stay as they are.",
    fix: isAdapter ? "add --adapter FOLDER_OR_HUB_ID." : "add --output FOLDER.",
  });
}

function notEmpty(output: string, names: readonly string[]): PeftError {
  return new PeftError("output", {
    what: `The output folder "${output}" is not empty.`,
    why: `it holds ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", ..." : ""}.`,
    fix: "choose another folder with --output, or add --overwrite.",
  });
}
