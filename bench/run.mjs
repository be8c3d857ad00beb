/**
 * node bench/run.mjs ...: the bench on compiled code, as users have it; tsx takes 30 to 60 MB of memory that
 * are not the package's. Compiles where sources changed, in seconds; beforehand (by a call without arguments)
 * where a limit of memory is counted.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const ROOT = join(import.meta.dirname, "..");
const OUT = join(ROOT, "out");
const SOURCES = ["src", "tools", "bench"];
const DAY_MS = 86_400_000;

/** Names what is compiled by the newest source and how many there are. */
function stamp() {
  const files = SOURCES.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => statSync(join(ROOT, folder, name)).mtimeMs),
  );
  return `bench-${files.length}-${Math.round(Math.max(...files))}`;
}

function compiled() {
  const folder = join(OUT, stamp());
  if (existsSync(folder)) return folder;
  mkdirSync(OUT, { recursive: true });
  for (const name of readdirSync(OUT).filter((n) => n.startsWith("bench-")))
    if (Date.now() - statSync(join(OUT, name)).mtimeMs > DAY_MS) rmSync(join(OUT, name), { recursive: true });
  const temporary = `${folder}.${process.pid}`;
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const project = ["-p", join(ROOT, "tsconfig.json"), "--noEmit", "false"];
  const { stdout } = spawnSync(process.execPath, [tsc, ...project, "--rootDir", ROOT, "--outDir", temporary]);
  if (!existsSync(join(temporary, "bench/main.js"))) throw new Error(`bench does not compile:\n${stdout}`);
  try {
    renameSync(temporary, folder);
  } catch {
    rmSync(temporary, { recursive: true }); // another bench was faster
  }
  return folder;
}

await import(pathToFileURL(join(compiled(), "bench/main.js")).href);
