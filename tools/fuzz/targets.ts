import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readConfigFile } from "../../src/cli/config.js";
import { optionsOf } from "../../src/cli/options.js";
import { nodeTerminal } from "../../src/cli/terminal.js";
import { train } from "../../src/cli/train.js";
import { parseGenerationConfig } from "../../src/generate/config.js";
import { openArchive, readWeightMap } from "../../src/hub/checkpoint.js";
import type { Files } from "../../src/hub/files.js";
import { nodeFiles } from "../../src/hub/files.js";
import { parseJson } from "../../src/hub/json.js";
import {
  AutoModelForCausalLM,
  AutoModelForSeq2SeqLM,
  loadDataset,
  PeftModel,
  resolveFolder,
} from "../../src/index.js";
import { tokenizerFromFiles } from "../../src/tokenizers/files.js";
import { parseCharsmap } from "../../src/tokenizers/pipeline/charsmap.js";
import { compileTemplate } from "../../src/tokenizers/template.js";

/** A parser of what comes from outside: right is an answer or a PeftError, whatever the bytes. */
export interface Target {
  /** Inputs that are damaged; the first is sound. */
  readonly seeds: readonly Uint8Array[];
  run(bytes: Uint8Array): Promise<unknown>;
  close?(): Promise<void>;
}

const kit = fileURLToPath(new URL("../../tests/kit", import.meta.url));
const golden = fileURLToPath(new URL("../../tests/golden", import.meta.url));
const fixtures = fileURLToPath(new URL("../../src/data/fixtures", import.meta.url));
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Files of these names below a folder, smaller than `most` bytes. */
function found(folder: string, name: RegExp, most = 20_000): Uint8Array[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .sort()
    .filter((path) => name.test(path) && statSync(join(folder, path)).size < most)
    .map((path) => new Uint8Array(readFileSync(join(folder, path))));
}

/** One file of given bytes under any path. */
function inMemory(bytes: Uint8Array): Files {
  return {
    ...nodeFiles,
    read: async (path, offset, length) => {
      if (offset + length > bytes.length || length < 0 || offset < 0)
        return nodeFiles.read(`${path}/none`, 0, 1);
      return bytes.slice(offset, offset + length);
    },
    text: async () => decode(bytes),
    size: async () => bytes.length,
    exists: async () => true,
  };
}

const archive = (name: string, seeds: () => Uint8Array[]) => async (): Promise<Target> => ({
  seeds: seeds(),
  run: (bytes) => openArchive(name, inMemory(bytes)),
});

const table = (name: string, seeds: () => Uint8Array[]) => async (): Promise<Target> => ({
  seeds: seeds(),
  run: (bytes) => loadDataset(name, { reader: inMemory(bytes) }),
});

const JSON_ROWS = [
  '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n',
  '{"instruction":"a","input":"b","output":"c"}\n{"instruction":"d","input":"","output":"e"}\n',
  '{"text":"a","label":0}\n{"text":"b","label":1}\n',
  '{"tokens":["a","b"],"ner_tags":[0,1]}\n',
  '{"question":"q","context":"abc","answers":{"text":["b"],"answer_start":[1]}}\n',
  '{"conversations":[{"from":"human","value":"x"},{"from":"gpt","value":"y"}]}\n',
];

/** A model's folder in a temporary place whose one file is replaced; its other files are links. */
async function folderWith(
  source: string,
  name: string,
): Promise<{ path: string; put(bytes: Uint8Array): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "peft-fuzz-"));
  for (const other of readdirSync(source))
    if (other !== name) await symlink(join(source, other), join(path, other));
  return { path, put: (bytes) => writeFile(join(path, name), bytes) };
}

async function modelConfig(): Promise<Target> {
  const folder = await folderWith(join(kit, "models", "llama"), "config.json");
  return {
    seeds: [
      ...found(join(kit, "models"), /^llama\/config\.json$/),
      ...found(join(kit, "models"), /config\.json$/),
    ],
    run: async (bytes) => {
      await folder.put(bytes);
      const json = parseJson(decode(bytes), "config.json");
      const encoderDecoder = JSON.stringify(json).includes("encoder");
      const auto = encoderDecoder ? AutoModelForSeq2SeqLM : AutoModelForCausalLM;
      const base = await auto.fromPretrained(folder.path);
      await base.close();
    },
    close: () => rm(folder.path, { recursive: true }),
  };
}

async function adapterConfig(): Promise<Target> {
  const folder = await folderWith(join(kit, "cases", "llama--lora"), "adapter_config.json");
  const base = await AutoModelForCausalLM.fromPretrained(join(kit, "models", "llama"));
  return {
    seeds: [
      ...found(join(kit, "cases"), /^llama--lora\/adapter_config\.json$/),
      ...found(join(kit, "cases"), /llama--.*adapter_config\.json$/),
    ],
    run: async (bytes) => {
      await folder.put(bytes);
      const model = await PeftModel.fromPretrained(base, folder.path);
      await model.unload();
    },
    close: async () => {
      await base.close();
      await rm(folder.path, { recursive: true });
    },
  };
}

async function hubAnswers(): Promise<Target> {
  const cacheDir = await mkdtemp(join(tmpdir(), "peft-fuzz-"));
  const commit = "1".repeat(40);
  const info = JSON.stringify({
    _id: "1",
    id: "org/tiny",
    sha: commit,
    siblings: [{ rfilename: "config.json" }],
  });
  const tree = JSON.stringify([
    { type: "file", path: "config.json", size: 2, oid: "9e26dfeeb6e641a33dae4961196235bdb965b21b" },
  ]);
  let turn = 0;
  return {
    seeds: [encode(info), encode(tree)],
    run: async (bytes) => {
      const isInfo = turn++ % 2 === 0;
      const answer = async (input: URL | Request | string): Promise<Response> => {
        const url = String(input instanceof Request ? input.url : input);
        if (url.includes("/revision/")) return new Response(isInfo ? bytes.slice() : info);
        if (url.includes("/tree/")) return new Response(isInfo ? tree : bytes.slice());
        return new Response("{}");
      };
      await resolveFolder("org/tiny", {
        cacheDir,
        endpoint: "http://hub",
        fetch: answer as typeof fetch,
        wait: async () => {},
        env: { HF_TOKEN_PATH: "/nowhere" },
      });
    },
    close: () => rm(cacheDir, { recursive: true }),
  };
}

const MESSAGES = [
  { role: "system", content: "be kind" },
  { role: "user", content: "hello" },
  { role: "assistant", content: "hi" },
];

/** Texts of the tokenizers' own vocabularies, marks and strangers. */
const SAMPLE = "Hello wörld 12345 \u{1f600}\n  <s> [MASK] \uf8f1 ".repeat(3);

export const targets: Readonly<Record<string, () => Promise<Target>>> = {
  safetensors: archive("model.safetensors", () => found(kit, /\.safetensors$/)),
  pickle: archive("model.bin", () => found(join(kit, "formats"), /^adapter-bin.*\.bin$|\.bin$/, 100_000)),
  "weight-map": async () => ({
    seeds: found(kit, /\.index\.json$/),
    run: (bytes) => readWeightMap("model.safetensors.index.json", inMemory(bytes)),
  }),
  json: async () => ({
    seeds: found(kit, /case\.json$/),
    run: async (bytes) => parseJson(decode(bytes), "x.json"),
  }),
  "model-config": modelConfig,
  "adapter-config": adapterConfig,
  "generation-config": async () => ({
    seeds: [
      encode('{"num_beams":3,"max_new_tokens":5,"eos_token_id":[1,2],"temperature":0.7,"do_sample":true}'),
    ],
    run: async (bytes) => {
      const json = parseJson(decode(bytes), "generation_config.json");
      if (typeof json === "object" && json !== null) parseGenerationConfig(json as Record<string, unknown>);
    },
  }),
  tokenizer: async () => ({
    seeds: found(join(kit, "tokenizers"), /tokenizer\.json$/, 200_000),
    run: async (bytes) => {
      const text = decode(bytes);
      const tokenizer = await tokenizerFromFiles(async (name) =>
        name === "tokenizer.json" ? text : undefined,
      );
      tokenizer.decode(tokenizer(SAMPLE).inputIds[0] ?? []);
    },
  }),
  sentencepiece: async () => ({
    seeds: found(golden, /\.model$/, 1 << 16),
    run: async (bytes) => {
      const only = async (name: string): Promise<Uint8Array | undefined> =>
        name === "spiece.model" ? bytes : undefined;
      const config = JSON.stringify({ tokenizer_class: ["T5Tokenizer", "LlamaTokenizer"][bytes.length % 2] });
      const tokenizer = await tokenizerFromFiles(
        async (name) => (name === "tokenizer_config.json" ? config : undefined),
        (name) => name,
        only,
      );
      tokenizer.decode(tokenizer(SAMPLE).inputIds[0] ?? []);
    },
  }),
  charsmap: async () => ({
    seeds: found(golden, /tokenizers_parts\.json$/, 1 << 20)
      .flatMap((bytes) => [...decode(bytes).matchAll(/"precompiled_charsmap":\s*"([^"]+)"/g)])
      .map((match) => encode(match[1] ?? "")),
    run: async (bytes) => {
      const map = parseCharsmap(decode(bytes), "charsmap");
      for (const char of SAMPLE) map(char);
    },
  }),
  template: async () => ({
    seeds: TEMPLATES.map(encode),
    run: async (bytes) =>
      compileTemplate({ text: decode(bytes), where: "chat_template.jinja" }).render(
        { messages: MESSAGES, add_generation_prompt: true },
        new Date(0),
      ),
  }),
  jsonl: table("rows.jsonl", () => JSON_ROWS.map(encode)),
  "json-rows": table("rows.json", () =>
    JSON_ROWS.map((row) => encode(`[${row.trim().split("\n").join(",")}]`)),
  ),
  csv: table("rows.csv", () =>
    ['text,label\na,x\n"b,""c",y\n', "prompt;completion\na;b\n", "q\ta\n1\t2\n"].map(encode),
  ),
  hocr: table("rows.hocr", () => [
    encode(
      "<div class='ocr_page' title='image \"a.png\"; bbox 0 0 90 90'><span class='ocrx_word' title='bbox 1 2 3 4'>" +
        '<b>a&amp;</b></span><span class="ocrx_word" title="bbox 5 5 9 9">b</span></div>',
    ),
  ]),
  tesseract: table("rows.tsv", () => [
    encode(
      "level\tpage_num\tleft\ttop\twidth\theight\tconf\ttext\n1\t1\t0\t0\t90\t90\t-1\t\n5\t1\t1\t2\t3\t4\t96\ta\n",
    ),
  ]),
  arrow: table("rows.arrow", () => found(fixtures, /^(file|numbers|stream)\.arrow$/)),
  gzip: table("rows.jsonl.gz", () => found(fixtures, /\.gz$/)),
  zstd: table("rows.jsonl.zst", () => found(fixtures, /\.zst$/)),
  parquet: table("rows.parquet", () => found(fixtures, /\.parquet$/, 100_000)),
  yaml: async () => ({
    seeds: [
      "lr: 0.001\nepochs: 2\ntargetModules: [q, v]\n",
      "a: &a [1]\nb: *a\n",
      '{"lr": 1e-3, "data": ["x"]}',
    ].map(encode),
    run: (bytes) =>
      readConfigFile("run.yaml", optionsOf(train), {
        ...nodeTerminal(),
        readFile: async () => decode(bytes),
      }),
  }),
  hub: hubAnswers,
};

const TEMPLATES = [
  "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}{% if not loop.last %}\n{% endif %}{% endfor %}",
  "{%- set ns = namespace(n=0) -%}{%- for m in messages if m.role != 'system' -%}{%- set ns.n = ns.n + 1 -%}[{{ ns.n }}] {{ m | tojson(indent=2) }}{%- endfor -%}{{ ns.n // 2 }}",
  "{% macro f(x, y=[1,2]) %}{{ x ~ y[::-1] }}{% endmacro %}{{ f('a' * 3) }}{{ messages | map(attribute='role') | join(', ') | upper }}",
  "{{ '%s is %d' % ('a', 3) }}{{ range(5) | list }}{{ {'a': none, 'b': true}.items() | list }}{% if messages[0].role is defined and 2 in [1,2] %}x{% else %}y{% endif %}",
];
