// Writes docs/api, or the folder that is named, from the docstrings of what src/index.ts exports: a page for
// each section of that file. TypeDoc reads TypeScript 6, the package is compiled by TypeScript 7: so it has
// its own, in tools/api/node_modules (a workspace).
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Application, LogLevel, ReflectionKind } from "typedoc";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Where the sections lie as entry points while TypeDoc reads them; git does not see it. */
const entries = join(root, "out/api");

/** The sections of src/index.ts: `// ## Name`, a line that says what it is for, and the exports below. */
export function sections() {
  const text = readFileSync(join(root, "src/index.ts"), "utf8");
  return text
    .split(/^\/\/ ## /m)
    .slice(1)
    .map((section) => {
      const [name, reason, ...lines] = section.split("\n");
      return { name, reason: reason.replace(/^\/\/ /, ""), exports: lines.join("\n") };
    });
}

function writeEntries() {
  rmSync(entries, { recursive: true, force: true });
  mkdirSync(entries, { recursive: true });
  for (const { name, reason, exports } of sections()) {
    const code = exports.replaceAll('from "./', 'from "../../src/');
    writeFileSync(join(entries, `${name}.ts`), `/**\n * ${reason}\n *\n * @module ${name}\n */\n${code}`);
  }
  const tsconfig = { extends: "../../tsconfig.json", include: ["."] };
  writeFileSync(join(entries, "tsconfig.json"), JSON.stringify(tsconfig));
}

const LAYOUT = {
  router: "module",
  entryFileName: "README",
  hidePageHeader: true,
  hideBreadcrumbs: true,
  useCodeBlocks: true,
  expandObjects: true,
  parametersFormat: "table",
  interfacePropertiesFormat: "table",
  classPropertiesFormat: "table",
  typeAliasPropertiesFormat: "table",
  typeDeclarationFormat: "table",
};

/**
 * Writes the pages into a folder, and returns every public name by section, what TypeDoc warned of, and the
 * names that have no docstring.
 */
export async function writeReference(folder) {
  writeEntries();
  const app = await Application.bootstrapWithPlugins({
    plugin: ["typedoc-plugin-markdown"],
    name: "peft.js",
    entryPoints: sections().map(({ name }) => join(entries, `${name}.ts`)),
    tsconfig: join(entries, "tsconfig.json"),
    readme: "none",
    disableSources: true,
    excludePrivate: true,
    excludeInternal: true,
    sort: ["source-order"],
    validation: { notExported: true, invalidLink: true, notDocumented: false },
    logLevel: LogLevel.Warn,
    ...LAYOUT,
  });
  const warnings = [];
  app.logger.addContext = (message) => message;
  app.logger.log = (message, level) => level >= LogLevel.Warn && warnings.push(message);
  const project = await app.convert();
  if (project === undefined) throw new Error(warnings.join("\n"));
  app.validate(project);
  rmSync(folder, { recursive: true, force: true });
  await app.outputs.writeOutput({ name: "markdown", path: folder }, project);
  const names = sections().map(({ name, reason }) => ({ name, reason, members: membersOf(project, name) }));
  writeFileSync(join(folder, "README.md"), indexPage(folder, names));
  const all = names.flatMap(({ members }) => members);
  return { names, warnings, undocumented: all.filter(({ text }) => text === "").map(({ name }) => name) };
}

function membersOf(project, section) {
  const module = project.getChildByName([section]);
  return module.children
    .map((member) => ({ name: member.name, text: firstLine(member), isType: isType(member) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const isType = (member) => (member.kind & (ReflectionKind.Interface | ReflectionKind.TypeAlias)) !== 0;

function firstLine(member) {
  const comment = member.comment ?? member.signatures?.[0]?.comment;
  const text = (comment?.summary ?? []).map((part) => part.text).join("");
  return text
    .split(/\n\n|(?<=[.:])\s/)[0]
    .replaceAll("\n", " ")
    .replaceAll("|", "\\|")
    .trim();
}

function indexPage(folder, names) {
  const count = names.reduce((n, { members }) => n + members.length, 0);
  return [
    "# API reference",
    "",
    `Made by \`npm run api\` from the docstrings of what src/index.ts exports; a test holds it to that. ${count} public names: values, and *types*.`,
    ...names.flatMap(({ name, reason, members }) => [
      "",
      `## [${name}](${name}.md)`,
      reason,
      "",
      "| name | what it is |",
      "|---|---|",
      ...members.map((member) => row(member, anchorsIn(folder, name), `${name}.md`)),
    ]),
    "",
  ].join("\n");
}

function row({ name, text, isType }, anchors, page) {
  const link = `[${name}](${page}#${anchors.get(name) ?? name.toLowerCase()})`;
  return `| ${isType ? `*${link}*` : link} | ${text} |`;
}

/** Where each public name stands in a page: headings of the same text are numbered, as GitHub does. */
function anchorsIn(folder, page) {
  const counts = new Map();
  const anchors = new Map();
  const text = readFileSync(join(folder, `${page}.md`), "utf8").replace(/^```[\s\S]*?^```/gm, "");
  for (const [, level, title] of text.matchAll(/^(#+) (.*)$/gm)) {
    const slug = title
      .replace(/\\/g, "")
      .replace(/[^\w -]/g, "")
      .trim()
      .toLowerCase()
      .replaceAll(" ", "-");
    const count = counts.get(slug) ?? 0;
    counts.set(slug, count + 1);
    if (level === "###") anchors.set(title.match(/\w+/)?.[0], count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { warnings, undocumented } = await writeReference(process.argv[2] ?? join(root, "docs/api"));
  for (const warning of warnings) console.warn(warning);
  for (const name of undocumented) console.error(`${name} has no docstring.`);
  process.exitCode = undocumented.length === 0 ? 0 : 1;
}
