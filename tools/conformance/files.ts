import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function json<T>(...path: readonly string[]): T {
  return JSON.parse(readFileSync(join(...path), "utf8")) as T;
}

/** Folders inside a folder, by name; none where it is not there. */
export function foldersIn(...path: readonly string[]): string[] {
  const folder = join(...path);
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries
    .filter((e) => e.isDirectory())
    .map((e) => e.name)
    .sort();
}

/** Runs something with a folder that is gone afterwards. */
export async function inTemporaryFolder<R>(run: (folder: string) => Promise<R>): Promise<R> {
  const folder = await mkdtemp(join(tmpdir(), "peft-conformance-"));
  try {
    return await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
