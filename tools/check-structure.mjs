// Holds src/ to ARCHITECTURE.md: who may import whom, and what no file may hold. Lists all faults at once.
// node tools/check-structure.mjs [FOLDER]: FOLDER is a package with src/, this one by default.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const home = dirname(dirname(fileURLToPath(import.meta.url)));

/** What each folder of src/ may import besides itself and EVERYWHERE: folders, files, or only their types. */
const ALLOWED = {
  graph: [],
  autodiff: ["graph"],
  models: ["graph"],
  losses: ["graph", "type models/model.ts"],
  python_re: [],
  methods: ["graph", "python_re"],
  engine: ["graph"],
  hub: [],
  tokenizers: ["hub"],
  data: ["hub", "tokenizers"],
  tasks: ["losses", "data", "graph", "type models/model.ts"],
  generate: [],
  adapters: ["graph", "engine", "methods/method.ts"],
  trace: [
    "tasks",
    "losses",
    "adapters",
    "graph",
    "engine",
    "models/model.ts",
    "models/inputs.ts",
    "models/text_inputs.ts",
    "methods/method.ts",
    "type data/batch.ts",
  ],
  weights: ["tasks", "trace", "adapters", "graph", "engine", "hub", "models/model.ts", "methods/method.ts"],
  plan: [
    ...["tasks", "losses", "weights", "trace", "adapters", "graph", "autodiff", "engine"],
    ...["models/model.ts", "models/inputs.ts", "models/text_inputs.ts"],
    ...["methods/method.ts", "type data/batch.ts"],
  ],
  run: [
    ...["tasks", "losses", "plan", "weights", "trace", "adapters", "graph", "engine", "hub", "generate"],
    ...["models/model.ts", "models/inputs.ts", "models/text_inputs.ts"],
    ...["methods/method.ts", "type data/batch.ts"],
  ],
  attach: [
    ...["tasks", "run", "plan", "weights", "trace", "adapters", "graph", "engine", "hub"],
    ...["models/model.ts", "methods/method.ts", "methods/pattern.ts", "methods/registry.ts"],
  ],
  peft: [
    ...[
      "tasks",
      "losses",
      "attach",
      "run",
      "plan",
      "weights",
      "trace",
      "adapters",
      "graph",
      "engine",
      "hub",
      "generate",
    ],
    ...[
      "models/model.ts",
      "models/registry.ts",
      "methods/method.ts",
      "type tokenizers",
      "type data/batch.ts",
    ],
  ],
  train: [
    ...["tasks", "losses", "peft", "attach", "run", "plan", "weights", "trace", "adapters"],
    ...["data", "hub", "graph", "tokenizers", "generate"],
  ],
  cli: ["index.ts"],
};
const EVERYWHERE = [
  "arguments.ts",
  "errors.ts",
  "halves.ts",
  "nearest.ts",
  "options.ts",
  "pattern.ts",
  "platform.ts",
  "platform_browser.ts",
  "present.ts",
  "printable.ts",
  "random.ts",
  "registry.ts",
  "task.ts",
  "words.ts",
];
const ENTRY = "index.ts"; // imports all of the above but cli

/** The files that may import node: modules and use Node's globals; of cli, any one file. */
const NODE_FILES = [
  "platform.ts",
  "hub/files.ts",
  "run/call_scope.ts",
  "engine/weights/files.ts",
  "engine/spawn.ts",
  "engine/engine.ts",
  "engine/worker.ts",
  "train/report_assets.ts",
];
const ONE_NODE_FILE = "cli";
const NODE_GLOBAL =
  /(?<![.\w$#])(?:process(?=\??\.\w|\[)|Buffer\b|(?:set|clear)Immediate\b|require(?=[.(])|__(?:dir|file)name\b)/g;

/** Folders of definitions: a file that declares one is named in its folder's generated index.ts alone. */
const DEFINITIONS = { models: "Architecture", methods: "Method" };
const VAGUE_NAME = /(^|[_-])(utils?|helpers?|common|managers?)\.\w+$/;
const LINES_TO_LOOK_AT = 400;
const MOST_LINES = 800;

/** A file without its comments: `//` and block comments go, strings stay as they are. */
function withoutComments(text) {
  const token = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(token, (found) => (found.startsWith("/") ? "" : found));
}

/** The same without the text of strings, but for templates, in which code may stand. */
const withoutStrings = (code) => code.replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, '""');

/** Imports of a file: statements, re-exports, and import("..."), in code or in a type. */
function importsOf(code) {
  const statement = /^(?:import|export)(\s+type\b)?(?:[\s\w*{},$]*?\bfrom)?\s*"([^"]+)"/gm;
  const call = /\bimport\(\s*"([^"]+)"/g;
  return [
    ...[...code.matchAll(statement)].map((m) => ({ type: m[1] !== undefined, from: m[2] })),
    ...[...code.matchAll(call)].map((m) => ({ type: false, from: m[1] })),
  ];
}

function filesUnder(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs|js|py)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((path) => !path.includes("/node_modules/"))
    .sort();
}

/** Every source file: its path, also as seen from src/, and its imports, those of own files resolved. */
function readSources(root) {
  const paths = ["src", "tests", "tools", "bench", "bin"].flatMap((folder) => filesUnder(root, folder));
  return paths.map((path) => {
    const text = readFileSync(join(root, path), "utf8");
    const code = path.endsWith(".py") ? "" : withoutComments(text);
    const ships = path.startsWith("src/") && !path.endsWith(".test.ts");
    const imports = importsOf(code).map((i) => ({
      ...i,
      file: i.from.startsWith(".") ? own(path, i.from) : undefined,
    }));
    return {
      path,
      inSrc: path.replace(/^src\//, ""),
      ships,
      code,
      imports,
      lines: text.split("\n").length - 1,
    };
  });
}

/** The file an import means, from src/ where it lies there. */
function own(path, from) {
  const file = posix.join(posix.dirname(path), from).replace(/\.js$/, ".ts");
  return file.startsWith("src/") ? file.slice(4) : `../${file}`;
}

const folderOf = (inSrc) => (inSrc.includes("/") ? inSrc.slice(0, inSrc.indexOf("/")) : inSrc);

function mayImport(from, { file, type }) {
  const [here, there] = [folderOf(from), folderOf(file)];
  if (here === there || EVERYWHERE.includes(file)) return true;
  if (from === ENTRY) return there in ALLOWED && there !== "cli";
  return (ALLOWED[here] ?? []).some((row) => {
    const allowed = row.replace(/^type /, "");
    return (row === allowed || type) && (file === allowed || there === allowed);
  });
}

function directionFaults(sources) {
  return sources.flatMap(({ inSrc, imports }) => [
    ...(folderOf(inSrc) in ALLOWED || [ENTRY, ...EVERYWHERE].includes(inSrc)
      ? []
      : [
          `src/${inSrc}: "${folderOf(inSrc)}" has no row in the table of imports (tools/check-structure.mjs)`,
        ]),
    ...imports
      .filter((i) => i.file !== undefined && !mayImport(inSrc, i))
      .map((i) => `src/${inSrc}: may not import ${i.type ? "types of " : ""}${i.file}`),
  ]);
}

function definitionFaults(sources) {
  const declares = ({ inSrc, code }) =>
    new RegExp(`^export const \\w+: ${DEFINITIONS[folderOf(inSrc)]}\\b`, "m").test(code);
  const defined = new Set(
    sources.filter((s) => folderOf(s.inSrc) in DEFINITIONS && declares(s)).map((s) => s.inSrc),
  );
  return sources.flatMap(({ path, inSrc, imports }) =>
    imports
      .filter(({ file }) => defined.has(file) && folderOf(file) !== folderOf(inSrc))
      .map(({ file }) => `${path}: names ${file}, which only the generated index of ${folderOf(file)}/ may`),
  );
}

function nodeFaults(sources) {
  const users = sources.filter((s) => s.imports.some((i) => i.from.startsWith("node:"))).map((s) => s.inSrc);
  const globals = sources
    .filter(({ inSrc }) => !NODE_FILES.includes(inSrc))
    .filter(({ inSrc }) => folderOf(inSrc) !== ONE_NODE_FILE || !users.includes(inSrc))
    .map(({ inSrc, code }) => [inSrc, new Set(withoutStrings(code).match(NODE_GLOBAL))])
    .filter(([, names]) => names.size > 0);
  const inOne = users.filter((file) => folderOf(file) === ONE_NODE_FILE);
  return [
    ...users
      .filter((file) => !NODE_FILES.includes(file) && folderOf(file) !== ONE_NODE_FILE)
      .map((file) => `src/${file}: may not import node: modules (those that may: ${NODE_FILES.join(", ")})`),
    ...globals.map(
      ([file, names]) =>
        `src/${file}: uses Node's ${[...names].join(", ")}; platform.ts gives what Node gives`,
    ),
    ...(inOne.length > 1
      ? [`${ONE_NODE_FILE}/: one file may import node: modules, not ${inOne.join(", ")}`]
      : []),
  ];
}

/** Each dependency of the package is imported (or read from, as "uplot/dist/...") by exactly one file. */
function dependencyFaults(sources, root) {
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const names = Object.keys(dependencies);
  const bare = /^(@[^/]+\/[^/]+|[^./][^/:]*)(\/|$)/;
  const undeclared = sources.flatMap(({ inSrc, imports }) =>
    imports
      .filter(({ from }) => bare.test(from) && !names.includes(bare.exec(from)[1]))
      .map(({ from }) => `src/${inSrc}: imports "${from}", which is no dependency in package.json`),
  );
  const counted = names.flatMap((name) => {
    const users = sources.filter(
      ({ code, imports }) => imports.some((i) => i.from === name) || code.includes(`"${name}/`),
    );
    if (users.length === 1) return [];
    return [
      `${name}: imported by ${users.map((s) => s.inSrc).join(", ") || "no file"}; exactly one file should`,
    ];
  });
  return [...undeclared, ...counted];
}

/** Every package of the lock file is known by its content (SHA-512), and comes from whichever registry the user has. */
function lockFaults(root) {
  const path = join(root, "package-lock.json");
  if (!existsSync(path)) return [];
  // what is no folder of node_modules, and a link into it, is this repository and its workspaces
  const packages = Object.entries(JSON.parse(readFileSync(path, "utf8")).packages).filter(
    ([name, { link }]) => name.includes("node_modules/") && link !== true,
  );
  return packages.flatMap(([name, { integrity, resolved }]) => [
    ...(integrity?.startsWith("sha512-") ? [] : [`package-lock.json: ${name} has no sha512 integrity`]),
    ...(resolved === undefined ? [] : [`package-lock.json: ${name} names a registry: ${resolved}`]),
  ]);
}

function wordFaults(sources) {
  return sources.flatMap(({ path, code }) => [
    ...(VAGUE_NAME.test(posix.basename(path))
      ? [`${path}: a name that says nothing; name what it holds`]
      : []),
    ...(/^\s*export\s+default\b|\bas\s+default\b/m.test(code) ? [`${path}: has a default export`] : []),
    ...(/^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w/m.test(code) ? [`${path}: has an enum`] : []),
  ]);
}

/** Cycles between files, each said once, from the file where a walk met it. */
function cycleFaults(sources) {
  const graph = new Map(
    sources.map((s) => [s.inSrc, s.imports.flatMap((i) => (i.file === undefined ? [] : [i.file]))]),
  );
  const done = new Set();
  const trail = [];
  const faults = [];
  const walk = (file) => {
    if (trail.includes(file))
      faults.push(`import cycle: ${[...trail.slice(trail.indexOf(file)), file].join(" -> ")}`);
    if (trail.includes(file) || done.has(file)) return;
    trail.push(file);
    for (const next of graph.get(file) ?? []) walk(next);
    trail.pop();
    done.add(file);
  };
  for (const file of graph.keys()) walk(file);
  return faults;
}

/** The indexes of models/ and methods/ are what their generator writes; only this package has one. */
function indexFaults(root) {
  const generator = join(root, "tools/generate-index.mjs");
  if (!existsSync(generator)) return [];
  const { status, stderr } = spawnSync(process.execPath, [generator, "--check"], {
    cwd: root,
    encoding: "utf8",
  });
  return status === 0 ? [] : [stderr.trim()];
}

function main(root) {
  const sources = readSources(root);
  const shipped = sources.filter((s) => s.ships);
  const faults = [
    ...directionFaults(shipped),
    ...definitionFaults(sources.filter((s) => !s.path.startsWith("tests/") && !s.path.endsWith(".test.ts"))),
    ...nodeFaults(shipped),
    ...dependencyFaults(shipped, root),
    ...lockFaults(root),
    ...wordFaults(sources),
    ...sources
      .filter((s) => s.lines > MOST_LINES)
      .map((s) => `${s.path}: ${s.lines} lines, over ${MOST_LINES}`),
    ...cycleFaults(shipped),
    ...indexFaults(root),
  ];
  for (const { path, lines } of sources)
    if (lines > LINES_TO_LOOK_AT && lines <= MOST_LINES) console.log(`look again: ${path}: ${lines} lines`);
  for (const fault of faults) console.error(fault);
  console.log(`structure: ${shipped.length} files, ${faults.length} faults`);
  return faults.length === 0 ? 0 : 1;
}

process.exitCode = main(resolve(process.argv[2] ?? home));
