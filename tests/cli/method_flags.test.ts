import { describe, expect, it, test } from "vitest";
import { methodConfig, methodGroups, withMethod } from "../../src/cli/method_options.js";
import type { Settings, Verb } from "../../src/cli/options.js";
import { runProgram } from "../../src/cli/program.js";
import { nodeTerminal } from "../../src/cli/terminal.js";
import { methods } from "../../src/index.js";

interface Parsed {
  readonly code: number;
  readonly out: string;
  readonly config: Readonly<Record<string, unknown>>;
}

const ours = nodeTerminal();

/** A command that has nothing but the methods' flags, and what its config is. */
async function parse(args: readonly string[], files: Readonly<Record<string, string>> = {}): Promise<Parsed> {
  let settings: Settings | undefined;
  let out = "";
  const verb: Verb = {
    ...{ name: "try", summary: "", examples: [] },
    groups: methodGroups,
    run: async (given) => {
      settings = withMethod(given);
      return 0;
    },
  };
  const terminal = {
    ...ours,
    write: (text: string) => void (out += text),
    note: (text: string) => void (out += text),
    readFile: async (path: string) => files[path]!,
  };
  const code = await runProgram(["try", ...args], { version: "", verbs: [verb], terminal });
  return { code, out, config: settings === undefined ? {} : { ...methodConfig(settings) } };
}

/** "  --flag <FORM>   meaning (words) [default: ...]" as help shows it, its lines joined. */
interface Shown {
  readonly flag: string;
  readonly form: string;
  readonly meaning: string;
}

async function helpOf(method: string): Promise<Shown[]> {
  const { out } = await parse(["--method", method, "--help"]);
  const section = out.split(/^Options of --method .*\n/m)[1]!.split(/\n\n/)[0]!;
  const entries = section.split(/\n(?= {2}--)/);
  return entries.map((entry) => {
    const [, flag, form = "", meaning] = /^\s*(\S+)(?: <(.*?)>)? {2,}(.*)$/s.exec(entry)!;
    return { flag: flag!, form, meaning: meaning!.replace(/\s+/g, " ") };
  });
}

/** Texts of a form with what should arrive, by the words that help says. */
function examples(form: string, { meaning }: Shown): (readonly [text: string, value: unknown])[] {
  const words = / \(((?:[\w+]+, )*[\w+]+)\)( \[default|$)/.exec(meaning)?.[1]?.split(", ") ?? [];
  return form.split("|").flatMap((alternative): (readonly [string, unknown])[] => {
    switch (alternative) {
      case "N":
        return /^share|smoothing/.test(meaning) ? [["0.5", 0.5]] : [["2", 2]];
      case "N,N":
        return [["1,2", [1, 2]]];
      case "NAME":
        return words.length > 0
          ? words.map((word) => word.replace(/_N$/, "_4")).map((word) => [word, word] as const)
          : [["attn", "attn"]];
      case "NAME,NAME":
        return [["q_proj,v_proj", ["q_proj", "v_proj"]]];
      case "REGEX":
        return [[".*\\.(q|v)_proj", ".*\\.(q|v)_proj"]];
      case "NAME=N,NAME=N":
        return [["q_proj=4,v_proj=8", { q_proj: 4, v_proj: 8 }]];
      case '{"NAME":[N,N]}':
        return [['{"embed_tokens":[3,5]}', { embed_tokens: [3, 5] }]];
      case '{"NAME":[true,false]}':
        return [['{"q.lora_E":[true,false]}', { "q.lora_E": [true, false] }]];
      case '{"NAME":"TEXT"}':
        return [['{"revision":"main"}', { revision: "main" }]];
      case "JSON":
        return [["{}", {}]];
      case "true":
        return [["true", true]];
      case "false":
        return [["false", false]];
      case "TEXT":
        return [["some text", "some text"]];
      case "all-linear":
        return [["all-linear", "all-linear"]];
      default:
        throw new Error(`help shows a form that this test does not know: ${alternative}`);
    }
  });
}

const SOURCE = ["--prompt-tuning-init-state-dict-path", "a.safetensors"];
/** What an option cannot be without. */
const beside: Readonly<Record<string, readonly string[]>> = {
  "--layers-pattern": ["--layers-to-transform", "0"],
  "--boft-block-num": ["--boft-block-size", "0"],
  "supertuning --lora-alpha": ["--r", "4"],
  "oft --r": ["--oft-block-size", "0"],
  TEXT: ["--prompt-tuning-init-text", "a", "--tokenizer-name-or-path", "b"],
  EXACT_SOURCE_TASK: SOURCE,
  AVERAGE_SOURCE_TASKS: SOURCE,
  ONLY_SOURCE_SHARED: SOURCE,
  "--cpt-mask": ["--cpt-token-ids", "5,7"],
  "--cpt-tokens-type-mask": ["--cpt-token-ids", "5,7"],
  "--num-frozen-tokens": ["--num-virtual-tokens", "4"],
  "--tokenizer-kwargs": [
    "--prompt-tuning-init",
    "TEXT",
    "--prompt-tuning-init-text",
    "a",
    "--tokenizer-name-or-path",
    "b",
  ],
  "--feedforward-modules": ["--target-modules", "q_proj,v_proj"],
};
/** What Python has and peft.js refuses. */
const refused = new Set([
  "hira --no-x",
  "bottleneck --no-output-adapter",
  "trainable-tokens --no-init-weights",
  "lora --init-lora-weights eva",
]);

describe.each(methods.map((method) => method.name))("%s", (name) => {
  test("every flag takes the forms that its help shows, and the value arrives", async () => {
    const method = methods.find((m) => m.name === name)!;
    const shown = await helpOf(name);
    const keys = Object.entries(method.config.options).filter(([, row]) => row.fileOnly !== true);
    expect(shown).toHaveLength(keys.length);
    for (const [i, entry] of shown.entries()) {
      const [key, row] = keys[i]!;
      expect(entry.flag).toMatch(/^--(\[no-\])?[a-z0-9]+(-[a-z0-9]+)*$/);
      expect(entry.meaning.length).toBeGreaterThan(15);
      expect(entry.meaning).toContain(row.means);
      const tries: (readonly [args: readonly string[], value: unknown])[] =
        entry.form === ""
          ? [
              [[entry.flag.replace("[no-]", "")], true],
              [[entry.flag.replace("[no-]", "no-")], false],
            ]
          : examples(entry.form, entry).map(([text, value]) => [[entry.flag, text], value]);
      for (const [args, value] of tries) {
        if (refused.has(`${name} ${args.join(" ")}`)) continue;
        const more = beside[`${name} ${entry.flag}`] ?? beside[entry.flag] ?? beside[args[1] ?? ""] ?? [];
        const { code, config, out } = await parse(["--method", name, ...args, ...more]);
        expect([args, code, out]).toEqual([args, 0, ""]);
        expect([args, config[key]]).toEqual([args, value]);
      }
    }
  });
});

describe("names", () => {
  it.each<[string, readonly string[], Readonly<Record<string, unknown>>]>([
    [
      "of the targets are a list, whatever another method has",
      ["--target-modules", "q_proj,v_proj"],
      { targetModules: ["q_proj", "v_proj"] },
    ],
    [
      "may be Python's",
      ["--lora_alpha", "16", "--target_modules=q_proj"],
      { loraAlpha: 16, targetModules: ["q_proj"] },
    ],
    ["of AdaLoRA that are irregular", ["--method", "adalora", "--deltaT", "5"], { deltaT: 5 }],
    ["of HRA that are irregular", ["--method=hra", "--apply-gs"], { applyGS: true }],
    [
      "of a switch with a value",
      ["--use-dora=true", "--use-rslora", "false"],
      { useDora: true, useRslora: false },
    ],
    ["of a start", ["--init-lora-weights", "pissa_niter_4"], { initLoraWeights: "pissa_niter_4" }],
    ["of a start that is off", ["--no-init-lora-weights"], { initLoraWeights: false }],
  ])("%s", async (_, args, config) => {
    expect(await parse(args)).toMatchObject({ code: 0, out: "", config });
  });

  it("in a config file are ours or Python's", async () => {
    const file = { "run.yaml": "method: lora\nlora_alpha: 16\ntargetModules: [q_proj]\nbias: all\n" };
    expect((await parse(["--config", "run.yaml"], file)).config).toMatchObject({
      ...{ loraAlpha: 16, targetModules: ["q_proj"], bias: "all" },
    });
    const twice = { "run.yaml": "lora_alpha: 16\nloraAlpha: 8\n" };
    await expect(parse(["--config", "run.yaml"], twice)).rejects.toThrow(
      /loraAlpha twice, once as "loraAlpha"/,
    );
    await expect(parse(["--config", "run.yaml"], { "run.yaml": "rank: 4" })).rejects.toThrow(
      /write "r" in place of "rank"/,
    );
    const text = { "run.yaml": "targetModules: [1]\nr: x" };
    await expect(parse(["--config", "run.yaml"], text)).rejects.toThrow(
      /--target-modules is \[1\].*--r is "x"/,
    );
  });

  it.each<[readonly string[], RegExp]>([
    [["--rank", "4"], /no option --rank.*use --r\./s],
    [["--lora-r", "4"], /no option --lora-r.*use --r\./s],
    [["--dropout", "0.1"], /no option --dropout.*use --lora-dropout/s],
    [["--method", "loha", "--lora-alpha", "4"], /loha has no option --lora-alpha.*use --alpha for/s],
    [["--rank-pattern", "4"], /--rank-pattern is "4".*write --rank-pattern NAME=N,NAME=N/s],
    [["--alpha", "4"], /lora has no option --alpha.*use --lora-alpha for --alpha/s],
    [["--method", "adalora", "--r", "4"], /adalora has no option --r.*use --init-r for --r/s],
    [["--boft-block-size", "4"], /lora has no option --boft-block-size.*choose --method boft/s],
    [["--lora-dropout", "1.5"], /--lora-dropout is 1.5.*at least 0 and below 1/s],
    [["--bias", "some"], /--bias is "some".*"none", "all", "lora_only"/s],
    [["--init-lora-weights", "kaiming"], /--init-lora-weights is "kaiming".*"gaussian"/s],
  ])("that are wrong are told what is meant: %j", async (args, message) => {
    await expect(parse(args)).rejects.toThrow(message);
  });
});
