// Over 400 lines: the commands share one folder of models that is made once.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.js";
import { lineText, nodeTerminal } from "../../src/cli/terminal.js";
import { startHub } from "../support/hub_server.js";
import { cliPage, cliPagePath } from "./docs.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const model = "tests/kit/models/t5-text";
const folder = mkdtempSync(join(tmpdir(), "peft-cli-"));
const at = (name: string): string => join(folder, name);

interface Result {
  code: number | null;
  out: string;
  err: string;
}

interface Circumstances {
  input?: string;
  onErr?: (text: string, kill: (signal?: NodeJS.Signals) => void) => void;
  /** What `kill` sends. @default "SIGINT" */
  signal?: NodeJS.Signals;
  env?: Readonly<Record<string, string>>;
}

/** The real command line, from source. `onErr` sees what it says on stderr while it runs. */
function peft(
  args: readonly string[],
  { input = "", onErr, signal = "SIGINT", env = {} }: Circumstances = {},
): Promise<Result> {
  const child = spawn(process.execPath, ["bin/peft.js", ...args], {
    cwd: root,
    env: { ...process.env, ...env },
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => {
    err += chunk;
    onErr?.(err, (other = signal) => child.kill(other));
  });
  child.stdin.on("error", () => {}); // it may end without reading
  child.stdin.end(input);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

const data = ["--data", at("train.csv"), "--template", "{message} Label :", "--target", "{label}"];
const trainArgs = ["train", "--model", model, ...data, "--batch-size", "4", "--samples", "1"];

/** The same without a process of its own, for what starts no work. */
async function here(args: readonly string[]): Promise<Result> {
  const said = { out: "", err: "" };
  const code = await main(args, {
    ...nodeTerminal(),
    print: (line) => void (said.out += `${lineText(line, (text) => `[${text}]`)}\n`),
    write: (text) => void (said.out += text),
    note: (line) => void (said.err += `${line}\n`),
  });
  return { code, ...said };
}

beforeAll(() => {
  const rows = Array.from({ length: 12 }, (_, i) => `"message ${i}, world",${i % 2 === 0 ? "yes" : "no"}`);
  writeFileSync(at("train.csv"), ["message,label", ...rows].join("\n"));
  writeFileSync(at("bad.jsonl"), '{"message": "a", "label": "yes"}\n{"message": "b", "label":\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a run and what comes after it", () => {
  const run = [...trainArgs, "--epochs", "2", "--r", "4", "--test", at("train.csv"), "--output", at("out")];

  test("train: counts, metrics before and after, samples, files", async () => {
    const { code, out, err } = await peft(run);
    expect(err).toContain("step 1/6");
    expect(code).toBe(0);
    expect(out).toContain("trainable params: 3584 || all params: 72448 || trainable%: 4.946996466431095");
    expect(out).toMatch(/test accuracy before: \d.*\n.*test accuracy after: \d/s);
    expect(out).toContain("expected  yes");
    expect(out).toContain(`peft generate --adapter ${at("out")}`);
    const files = readdirSync(at("out"));
    for (const name of ["adapter_config.json", "adapter_model.safetensors", "metrics.jsonl", "report.html"])
      expect(files).toContain(name);
  });

  test("the same again refuses, and so do other options; nothing is touched", async () => {
    const before = readFileSync(at("out/adapter_model.safetensors"));
    const [same, other] = await Promise.all([here(run), here([...run, "--epochs", "3"])]);
    expect(same.code).toBe(1);
    expect(same.err).toMatch(/^error: .*finished\.\nwhy: .*\nfix: .*--overwrite.*\n$/);
    expect(other.code).toBe(1);
    expect(other.err).toContain("epochs was 2 and is 3");
    expect(readFileSync(at("out/adapter_model.safetensors")).equals(before)).toBe(true);
  });

  test("eval: loss and metrics; predictions", async () => {
    const args = ["eval", "--adapter", at("out"), ...data, "--json", "--predictions", at("answers.jsonl")];
    const { code, out } = await peft(args);
    expect(code).toBe(0);
    const { rows, loss, accuracy, exactMatch, f1 } = JSON.parse(out);
    expect(rows).toBe(12);
    expect(loss).toBeGreaterThan(0);
    for (const metric of [accuracy, exactMatch, f1]) expect(metric).toBeGreaterThanOrEqual(0);
    const lines = readFileSync(at("answers.jsonl"), "utf8").trim().split("\n");
    expect(JSON.parse(lines[1]!)).toMatchObject({ row: 1, expected: "no" });
  });

  test("eval without a template reads rows as in training", async () => {
    const { code, out, err } = await peft([
      "eval",
      "--adapter",
      at("out"),
      "--data",
      at("train.csv"),
      "--json",
    ]);
    expect(code).toBe(0);
    expect(err).toContain("Rows are read as in training: --template '{message} Label :' --target '{label}'.");
    expect(JSON.parse(out).rows).toBe(12);
  });

  test("push: the adapter and its tokenizer go, the run stays; a wrong token is said", async () => {
    const hub = await startHub();
    const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: "secret" };
    try {
      const { code, out, err } = await peft(["push", at("out"), "me/mine"], { env });
      expect(err).toMatch(
        /Uploaded .*adapter_model\.safetensors.*\.\nNot uploaded: checkpoints\/, metrics\.jsonl/,
      );
      expect([code, out]).toEqual([0, `${hub.endpoint}/me/mine\n`]);
      const sent = [...hub.repos.get("me/mine")!.files.keys()].sort();
      expect(sent.filter((name) => !name.startsWith("tokenizer"))).toEqual([
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
      ]);
      const wrong = await peft(["push", at("out"), "me/mine"], { env: { ...env, HF_TOKEN: "wrong" } });
      expect(wrong.err).toMatch(/^error: .*\nwhy: .*token is wrong or has expired.*\nfix: .*\n$/);
      expect(wrong.code).toBe(1);
    } finally {
      await hub.close();
    }
  });

  test("merge, and the merged folder answers as base and adapter do", async () => {
    const { code } = await peft(["merge", "--adapter", at("out"), "--output", at("merged")]);
    expect(code).toBe(0);
    const ask = ["--prompt", "message 3, world Label :", "--prompt", "Hello", "--max-new-tokens", "6"];
    const [whole, apart] = await Promise.all([
      peft(["generate", "--model", at("merged"), ...ask]),
      peft(["generate", "--adapter", at("out"), ...ask]),
    ]);
    expect(whole.out).toBe(apart.out);
    expect(whole.out.trimEnd().split("\n")).toHaveLength(2);
    const again = await here(["merge", "--adapter", at("out"), "--output", at("merged")]);
    expect(again.err).toContain("is not empty");
  });
});

test("merge needs no tokenizer", async () => {
  const model = ["--model", "tests/kit/models/llama", "--adapter", "tests/kit/cases/llama--lora"];
  const { code, err } = await peft(["merge", ...model, "--output", at("no tokenizer")]);
  expect([code, err]).toEqual([
    0,
    `Next: peft generate --model '${at("no tokenizer")}' --prompt 'your text'\n`,
  ]);
});

describe("generate", () => {
  test("the kit's own answers: piped in, a line each", async () => {
    const { texts, decoded } = JSON.parse(readFileSync(join(root, model, "expect.json"), "utf8"));
    const { out, code } = await peft(["generate", "--model", model, "--max-new-tokens", "8"], {
      input: `${texts[0]}\n${texts[2]}\n`,
    });
    expect(code).toBe(0);
    expect(out).toBe(`${decoded[0]}\n${decoded[2]}\n`);
  });

  test("a file of prompts, beams, JSONL; faulty settings are named", async () => {
    writeFileSync(at("prompts.jsonl"), '{"q": "Hello"}\n{"q": "World"}\n');
    const args = ["generate", "--model", model, "--prompts", at("prompts.jsonl"), "--template", "{q} !"];
    const [good, bad, none] = await Promise.all([
      peft([...args, "--jsonl", "--num-beams", "2", "--max-new-tokens", "3"]),
      here([...args, "--num-beams", "0", "--top-p", "x"]),
      peft(["generate", "--model", model]),
    ]);
    expect(
      good.out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).prompt),
    ).toEqual(["Hello !", "World !"]);
    expect(bad.code).toBe(1);
    expect(bad.err).toContain("--top-p");
    expect(none.err).toContain("There is no prompt.");
  });
});

describe("info counts from config.json alone", () => {
  test.each([
    [
      "mt0-large",
      "8",
      "trainable params: 2359296 || all params: 1231940608 || trainable%: 0.19151053100118282",
    ],
    ["flan-t5-large", "8", "trainable params: 2359296 ||"],
    ["flan-t5-large", "16", "trainable params: 4718592 ||"],
  ])("%s, r = %s", async (name, r, line) => {
    const { out, code } = await here(["info", "--model", `tests/fixtures/configs/${name}`, "--r", r]);
    expect(code).toBe(0);
    expect(out).toContain(line);
    expect(out).toMatch(/\+ decoder\.block\.\*\.layer\.1\.EncDecAttention\.q +24 x \[1024, 1024\]/);
  });
});

describe("data and options", () => {
  test("another method than the recipe's has its own defaults on what ships", async () => {
    const few = ["--max-steps", "1", "--samples", "0", "--output", at("oft")];
    const { code, out, err } = await peft(["train", "--method", "oft", ...few]);
    expect(err).toContain("1 step.");
    expect(code).toBe(0);
    expect(out + err).toContain("trainable params: 27776");
  }, 60_000);

  test("data marks what is learnt", async () => {
    const { out } = await here(["data", "--model", model, ...data, "--rows", "1"]);
    expect(out).toContain(`train.csv line 2\nmessage 0, world Label :</s> -> [yes</s>]`);
  });

  test("a YAML file gives options, flags win over it", async () => {
    const lines = [
      `model: ${model}`,
      `data: ${at("train.csv")}`,
      'template: "{message} Label :"',
      'target: "{label}"',
      "method: prompt-tuning",
      "numVirtualTokens: 3",
      "maxSteps: 7",
      `output: ${at("yaml")}`,
      "samples: 0",
    ];
    writeFileSync(at("run.yaml"), lines.join("\n"));
    const { code, out, err } = await peft(["train", "--config", at("run.yaml"), "--max-steps", "1"]);
    expect(err).toContain("1 step.");
    expect(out).toContain("trainable params: 192 ");
    expect(out).toContain("peft generate --adapter");
    expect(out).not.toContain("peft merge"); // virtual tokens cannot be merged
    expect(code).toBe(0);
    const written = JSON.parse(readFileSync(at("yaml/adapter_config.json"), "utf8"));
    expect(written).toMatchObject({ peft_type: "PROMPT_TUNING", num_virtual_tokens: 3 });
  });

  test("what cannot be understood is 2, what is wrong is 1 with what, why, fix", async () => {
    writeFileSync(at("typo.json"), '{"lerningRate": 1, "epoch": 2}');
    mkdirSync(at("full"));
    writeFileSync(at("full/thesis.txt"), "mine");
    const cases: [string[], number, RegExp][] = [
      [["train", "--modle", "x"], 2, /peft train has no option --modle\.[\s\S]*use --model\./],
      [
        ["eval", "--epochs", "1"],
        2,
        /peft eval has no option --epochs\.[\s\S]*one of peft train(, peft \w+)*\./,
      ],
      [["train", "--model"], 2, /--model has no value\.[\s\S]*write --model NAME\./],
      [["push", "out"], 2, /No repo is given\.[\s\S]*write peft push <folder> <repo>\./],
      [["train", "out"], 2, /words that belong to no option/],
      [["trian"], 2, /peft has no command "trian"\.[\s\S]*use peft train\./],
      [
        ["train", "--config", at("typo.json")],
        1,
        /"lerningRate", "epoch"[\s\S]*"epochs" in place of "epoch"/,
      ],
      [[...trainArgs, "--method", "ia3", "--r", "4"], 1, /ia3 has no option --r[\s\S]*--method lora/],
      [[...trainArgs, "--r", "0", "--bias", "most"], 1, /r is 0[\s\S]*bias is "most"[\s\S]*why:[\s\S]*fix:/],
      [[...trainArgs, "--epochs", "two"], 1, /epochs is "two"/],
      [[...trainArgs, "--output", at("full")], 1, /not empty[\s\S]*thesis\.txt/],
      [[...trainArgs, "--output", at("full"), "--overwrite"], 1, /not empty[\s\S]*thesis\.txt/],
      [[...trainArgs, "--output", at("train.csv")], 1, /Cannot write[\s\S]*in the way/],
      [[...trainArgs, "--output", at("train.csv/in/the/way")], 1, /Cannot write[\s\S]*in the way/],
      [["train", "--model", model, "--data", at("bad.jsonl"), "--output", at("no")], 1, /bad\.jsonl line 2/],
      [["train", "--model", model, "--data", at("nope.csv"), "--output", at("no")], 1, /nope\.csv/],
      [
        [
          "data",
          "--model",
          model,
          "--data",
          at("train.csv"),
          "--template",
          "{massage}",
          "--target",
          "{label}",
        ],
        1,
        /"message" in place of "massage"/,
      ],
      [[...trainArgs, "--device", "abacus", "--output", at("no")], 1, /no device "abacus"[\s\S]*"cpu"/],
      [
        ["info", "--model", model, "--method", "gralora", "--r", "5"],
        1,
        /--r is 5 with --gralora-k 2[\s\S]*fix: +--r 6\./,
      ],
      [
        ["info", "--model", model, "--target-modules", "c_attn"],
        1,
        /c_attn[\s\S]*fix: +use --target-modules/,
      ],
    ];
    for (const [args, code, says] of cases) {
      const result = await here(args);
      expect(result.err, args.join(" ")).toMatch(says);
      expect(result.code, args.join(" ")).toBe(code);
      if (code === 1) expect(result.err).toMatch(/(^|\n)error: .*\nwhy: .*\nfix: .*\n$/);
    }
    expect(readdirSync(folder)).not.toContain("no");
  });

  test("help names every option with its default", async () => {
    const { out, code } = await here(["train", "--help"]);
    expect(code).toBe(0);
    expect(out).toMatch(/--lora-alpha <N> .*\[default: 8\]/);
    const prompts = await here(["train", "--method", "prompt-tuning", "--help"]);
    expect(prompts.out).toMatch(/--num-virtual-tokens <N> .*\[default: 20\]/);
    expect(out).toMatch(/--epochs <N\|\+N> [\s\S]*?\[default: 3\]/);
    expect(readFileSync(cliPagePath, "utf8")).toBe(await cliPage());
  });
});

describe("Ctrl-C, kill, a terminal that closes", () => {
  const run = [
    ...trainArgs.slice(0, -2),
    "--samples",
    "0",
    "--epochs",
    "25",
    "--lora-dropout",
    "0.1",
    "--save-every",
    "1000",
  ];

  const whole = (): Promise<Result> => peft([...run, "--output", at("whole")]);
  let uncut: Promise<Result> | undefined;
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)(
    "%s stops after the step and saves; the same command goes on to the same bits",
    async (signal, code) => {
      uncut ??= whole();
      const name = `cut by ${signal}`;
      const args = [...run, "--output", at(name)];
      let sent = false;
      const first = await peft(args, {
        signal,
        onErr: (text, interrupt) => {
          if (!sent && text.includes("step 1/")) sent = true;
          else return;
          interrupt();
        },
      });
      expect(first.code).toBe(code);
      expect(first.err).toContain("Stopping after this step");
      expect(first.err).toMatch(/The same command goes on from \d+ of its steps/);
      expect(readdirSync(at(name))).not.toContain("adapter_model.safetensors");
      const early = await here(["generate", "--adapter", at(name), "--prompt", "Hello"]);
      expect(early.err).toMatch(/stopped at step \d+.*\n.*\n.*--adapter '.*checkpoint-\d+'\./);
      const second = await peft(args);
      expect(second.code).toBe(0);
      expect(second.err).toMatch(/from step [1-9]/);
      expect((await uncut).code).toBe(0);
      const bytes = (of: string): Buffer => readFileSync(at(`${of}/adapter_model.safetensors`));
      expect(bytes(name).equals(bytes("whole"))).toBe(true);
    },
  );

  test("two runs into one folder: the second is refused, and the first ends as if alone", async () => {
    const args = [...run, "--output", at("shared")];
    let second: Promise<Result> | undefined;
    const first = await peft(args, {
      onErr: (text, send) => {
        if (second !== undefined || !text.includes("step 1/")) return;
        send("SIGSTOP"); // it stands still in the middle of its work
        second = peft([...args, "--overwrite"]).finally(() => send("SIGCONT"));
      },
    });
    expect((await second)?.code).toBe(1);
    expect((await second)?.err).toMatch(/another run is at work in it \(process .*\)/);
    expect(first.code).toBe(0);
  });

  test("twice ends at once", async () => {
    const { code } = await peft([...run, "--output", at("twice")], {
      onErr: (text, interrupt) => {
        if (text.includes("step 1/")) interrupt();
      },
    });
    expect(code).toBe(130);
  });
});

test("an adapter whose base was a folder of another machine", async () => {
  mkdirSync(at("elsewhere"));
  const config = { peft_type: "LORA", base_model_name_or_path: "/mnt/models/base", task_type: "CAUSAL_LM" };
  writeFileSync(join(at("elsewhere"), "adapter_config.json"), JSON.stringify(config));
  const { code, err } = await here(["generate", "--adapter", at("elsewhere"), "--prompt", "hi"]);
  expect(code).not.toBe(0);
  expect(err).toMatch(/The base "\/mnt\/models\/base" of the adapter/);
  expect(err).toContain("base_model_name_or_path");
  expect(err).toContain("add --model FOLDER_OR_HUB_ID");
});
