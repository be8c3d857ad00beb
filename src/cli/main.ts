import { createRequire } from "node:module";

/** The command line. Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] !== "--version") return 2;
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  console.log(version);
  return 0;
}
