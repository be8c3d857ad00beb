// Counts what src/ tells the compiler instead of showing it: `!` after a value, and `as` (but `as const`).
// node tools/count-assertions.mjs            the counts, folder by folder
// node tools/count-assertions.mjs engine/    each place in the files whose path begins so
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { isAsExpression, isNonNullExpression } from "typescript/unstable/ast/is";
import { API } from "typescript/unstable/sync";

const home = dirname(dirname(fileURLToPath(import.meta.url)));
const config = join(home, "tsconfig.build.json");

/** Where a file has `!` and `as`, by its syntax. */
function assertionsOf(source) {
  const rows = [];
  const visit = (node) => {
    const cast = isAsExpression(node) && node.type.getText(source) !== "const";
    if (cast || isNonNullExpression(node)) {
      const line = source.text.slice(0, node.end).split("\n").length;
      rows.push({ kind: cast ? "as" : "!", line, text: source.text.split("\n")[line - 1].trim() });
    }
    node.forEachChild(visit);
  };
  visit(source);
  return rows;
}

const api = new API({ cwd: home });
const { program } = api.updateSnapshot({ openProjects: [config] }).getProject(config);
const rows = program
  .getSourceFileNames()
  .filter((path) => path.startsWith(join(home, "src")))
  .flatMap((path) => {
    const file = relative(join(home, "src"), path).split(sep).join("/");
    return assertionsOf(program.getSourceFile(path)).map((row) => ({ file, ...row }));
  });
api.close();

const [begin] = process.argv.slice(2);
const count = (kind, folder) => rows.filter((row) => row.kind === kind && row.file.startsWith(folder)).length;
if (begin !== undefined) {
  for (const { file, kind, line, text } of rows.filter(({ file }) => file.startsWith(begin)))
    console.log(`${kind}  ${file}:${line}  ${text}`);
} else {
  const folders = new Set(rows.map(({ file }) => file.slice(0, file.indexOf("/") + 1)));
  for (const folder of [...folders].sort().reverse())
    console.log(`src/${folder}: ${count("!", folder)} of !, ${count("as", folder)} of as`);
}
