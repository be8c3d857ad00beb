/**
 * Writes the table of docs/models.md from the architectures themselves, their config.json in tests/, and what
 * tests/golden/compared.json says was compared with Python. The words in its second column are written by
 * hand and stay; a new row's come from its file. node --import tsx tools/generate-models.ts;
 * tests/package/models_page.test.ts fails where the page is not up to date.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { formats } from "../src/engine/formats/index.js";
import { methods } from "../src/methods/index.js";
import type { Method } from "../src/methods/method.js";
import { architectures } from "../src/models/index.js";
import type { Architecture, LayerRoles, ModelConfig } from "../src/models/model.js";
import { specOf } from "../src/peft/spec.js";
import { PLAN_NAMES } from "../src/plan/plan.js";
import { taskOfClass, tasks } from "../src/tasks/registry.js";
import type { Inventory } from "../src/trace/trace.js";
import { takeInventory } from "../src/trace/write.js";

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const json = (path: string): unknown => JSON.parse(readFileSync(at(path), "utf8"));
export const modelsPath: string = at("docs/models.md");

type Json = Record<string, unknown>;

/** A config.json of each `model_type` that the tests have. */
function configs(): Map<unknown, Json> {
  const golden = json("tests/golden/architectures.json") as Record<string, { config: Json }>;
  const kit = readdirSync(at("tests/kit/models")).map(
    (name) => json(`tests/kit/models/${name}/config.json`) as Json,
  );
  return new Map(
    [...kit, ...Object.values(golden).map(({ config }) => config)].map((c) => [c["model_type"], c]),
  );
}

/** `model_type`s of models whose numbers the repository's own tests compare with Python's. */
function numbered(): ReadonlySet<unknown> {
  const cases = readdirSync(at("tests/kit/cases")).map(
    (name) => json(`tests/kit/cases/${name}/case.json`) as Json,
  );
  return new Set(cases.map((c) => (json(`tests/kit/${c["model"]}/config.json`) as Json)["model_type"]));
}

/** First words of the docstring over an architecture, by the name of its constant. */
function docstrings(): Map<string, string> {
  const folder = "src/models";
  const files = readdirSync(at(folder)).filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"));
  const found = files.flatMap((file) => {
    const source = readFileSync(at(`${folder}/${file}`), "utf8");
    const [, comment, name] =
      /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport const (\w+): Architecture</.exec(source) ?? [];
    const text = (comment ?? "")
      .replace(/\n \*/g, " ")
      .replace(/\s+/g, " ")
      .replace(/Reference:.*$/, "")
      .trim();
    return name === undefined
      ? []
      : [[/modelTypes: \["([^"]+)"/.exec(source)?.[1] ?? name, text.replace(/\.$/, "")] as const];
  });
  return new Map(found);
}

const code = (names: readonly string[] | undefined): string =>
  names === undefined || names.length === 0 ? "none" : names.map((name) => `\`${name}\``).join(" ");

/** Whether a method finds a place on a model. */
function stands(
  { attention, sublayers, outputs, prompt }: Method,
  inventory: Inventory,
  c: ModelConfig,
): boolean {
  if (attention !== undefined) return inventory.attentions.size > 0;
  if (sublayers !== undefined) return inventory.sublayers.size > 0;
  if (outputs !== undefined) return inventory.outputs.size > 0;
  return prompt === undefined || prompt.place !== "cache" || c.cache.layers > 0;
}

function scaledOf({ scaled }: LayerRoles): string {
  if (scaled === undefined) return "none";
  return `${code(scaled.targets)} (${code(scaled.feedforward)})`;
}

/** How many methods are named, before only their number is. */
const MOST_NAMED = 4;

function row(a: Architecture, config: Json, words: string): string {
  const compared = json("tests/golden/compared.json") as Record<string, readonly string[]>;
  const modelType = `${config["model_type"]}`;
  const can = tasks.all.filter(({ head }) => head.write(a) !== undefined).map(({ name }) => name);
  const own = taskOfClass(`${config["architectures"]}`);
  const spec = specOf(
    config,
    own !== undefined && can.includes(own) ? own : (can[0] ?? "FEATURE_EXTRACTION"),
  );
  const inventory = takeInventory(spec);
  const missing = methods.filter((method) => !stands(method, inventory, spec.config)).map(({ name }) => name);
  const plans = inventory.blocks.length > 0 ? PLAN_NAMES : ["fused"];
  const kept = inventory.linears.size > 0 ? "all" : "f32";
  const cases = compared[modelType] ?? [];
  const list = cases.length > MOST_NAMED ? `${cases.length} methods` : cases.join(", ");
  const tested = [
    numbered().has(modelType) ? "numbers here" : "weights here",
    ...(list === "" ? [] : [`kit: ${list}`]),
  ];
  return `| ${[
    a.modelTypes.join(", "),
    words,
    can.join(", "),
    code(a.roles.targets),
    scaledOf(a.roles),
    missing.length === 0 ? "all" : `all but ${missing.join(", ")}`,
    plans.length === PLAN_NAMES.length ? "all" : plans.join(", "),
    kept,
    tested.join("; "),
  ].join(" | ")} |`;
}

/** Between these two lines docs/models.md is generated. */
const [BEGIN, END] = ["<!-- table: generated by tools/generate-models.ts -->", "<!-- end of table -->"];

/** docs/models.md with its table as it should be. */
export function modelsPage(page: string): string {
  const [before = "", rest = ""] = page.split(BEGIN);
  const [table = "", after = ""] = rest.split(END);
  const written = new Map(
    table
      .split("\n")
      .map((line) => line.split(" | "))
      .map(([type = "", words = ""]) => [type.replace(/^\| /, ""), words]),
  );
  const [known, own] = [configs(), docstrings()];
  const rows = architectures.map((a) => {
    const config = a.modelTypes.map((type) => known.get(type)).find((c) => c !== undefined);
    if (config === undefined) throw new Error(`no config.json of ${a.modelTypes} in tests/`);
    return row(a, config, written.get(a.modelTypes.join(", ")) ?? own.get(a.modelTypes[0] ?? "") ?? "");
  });
  const [plans, kept] = [PLAN_NAMES.join(", "), Object.keys(formats).join(", ")];
  const all = `"All" plans are ${plans}; "all" formats are ${kept}, each weight as far as its shape allows.`;
  const head = [
    "| `model_type` | models | tasks | LoRA's default targets | IA3's (feed-forward) | methods | plans | formats | tested |",
    "|---|---|---|---|---|---|---|---|---|",
  ];
  return `${before}${BEGIN}\n\n${[...head, ...rows].join("\n")}\n\n${all}\n\n${END}${after}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(modelsPath, modelsPage(readFileSync(modelsPath, "utf8")));
