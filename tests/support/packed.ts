import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const windows = process.platform === "win32";

/**
 * What a build and a pack read of this checkout. They run on a copy, so that tests that pack may run at once.
 */
const PARTS = ["bin", "src", "assets", "docs", "examples", "tools/build.mjs", "package.json", "LICENSE"];
const ALSO = [
  "tsconfig.json",
  "tsconfig.build.json",
  "README.md",
  "CHANGELOG.md",
  "SECURITY.md",
  "SUPPORT.md",
];

/** The package as npm packs it, and a project beside it that has it installed. */
export interface Packed {
  readonly folder: string;
  readonly tarball: string;
  readonly app: string;
  /** node_modules/NAME of the app, or of another folder, is this checkout's. */
  link(name: string, of?: string): void;
  remove(): void;
}

/** Runs a program, and throws all that it said where it fails. */
export function run(command: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", shell: windows, stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`);
  }
}

/**
 * What `npm install --ignore-scripts peft.js-*.tgz` leaves, without its network: npm packs and links the bin,
 * and the dependencies are this checkout's, since npm would ask the registry for them.
 */
export function packed(name: string, manifest: Readonly<Record<string, unknown>> = {}): Packed {
  const { version, dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const folder = mkdtempSync(join(tmpdir(), `peft-${name}-`));
  const [stage, app] = [join(folder, "stage"), join(folder, "app")];
  const link = (of: string, to: string): void => {
    mkdirSync(dirname(to), { recursive: true });
    symlinkSync(of, to, "junction");
  };
  for (const part of [...PARTS, ...ALSO])
    cpSync(join(root, part), join(stage, part), { recursive: true, force: true });
  link(join(root, "node_modules"), join(stage, "node_modules"));
  run("node", ["tools/build.mjs"], stage);
  run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], stage);
  rmSync(stage, { recursive: true, force: true });
  const tarball = join(folder, `peft.js-${version}.tgz`);
  mkdirSync(join(app, "node_modules/peft.js"), { recursive: true });
  const unpack = ["-xzf", `peft.js-${version}.tgz`, "-C", "app/node_modules/peft.js", "--strip-components=1"];
  run("tar", unpack, folder);
  const asked = { "peft.js": `file:../peft.js-${version}.tgz` };
  writeFileSync(
    join(app, "package.json"),
    JSON.stringify({ type: "module", private: true, dependencies: asked, ...manifest }),
  );
  run("npm", ["rebuild", "--ignore-scripts", "--offline"], app);
  const linkIn = (one: string, of = app): void =>
    link(join(root, "node_modules", one), join(of, "node_modules", one));
  for (const one of [...Object.keys(dependencies), "@types/node"]) linkIn(one);
  return {
    ...{ folder, tarball, app, link: linkIn },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
