import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Packed, packed, run } from "../support/packed.js";

// From an empty folder: `npm init -y` (a CommonJS project), the package installed, forty lines of TypeScript,
// a trained classifier that answers over HTTP.
const root = fileURLToPath(new URL("../..", import.meta.url));
let made: Packed;
beforeAll(() => {
  made = packed("first-hour", { type: "commonjs" });
});
afterAll(() => made.remove());

test("forty lines train what ships, and answer over HTTP", async () => {
  const { app } = made;
  cpSync(join(root, "examples/http_service.mts"), join(app, "service.mts"));
  const compilerOptions = { strict: true, target: "es2023", module: "nodenext", types: ["node"] };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["service.mts"] }));
  expect(run("node", [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], app)).toBe("");
  const env = { ...process.env, PORT: "0", EPOCHS: "3" };
  const service = spawn(process.execPath, ["service.mjs"], { cwd: app, env });
  try {
    let said = "";
    service.stderr.on("data", (chunk) => (said += chunk));
    const port = await new Promise<number>((resolve, reject) => {
      service.stdout.on("data", (chunk) => {
        said += chunk;
        const [, found] = /port: (\d+)/.exec(said) ?? [];
        if (found !== undefined) resolve(Number(found));
      });
      service.once("exit", () => reject(new Error(said)));
    });
    const ask = async (body: string): Promise<Response> =>
      fetch(`http://localhost:${port}`, { method: "POST", body });
    const messages = ["This cannot go on, the train is late again.", "Thank you, all is solved."];
    const answers = await Promise.all(
      messages.map(async (message) => (await ask(JSON.stringify({ message }))).json()),
    );
    expect(answers).toEqual([{ label: "complaint" }, { label: "no complaint" }]);
    expect((await ask("no JSON")).status).toBe(400);
    expect(said).toMatch(/step \d+: loss 0\.\d/);
  } finally {
    service.kill();
    await once(service, "exit");
  }
});

test("require gives a CommonJS project the same names", () => {
  const code =
    'const { AutoTokenizer, PeftError } = require("peft.js");\nconsole.log(typeof AutoTokenizer, typeof PeftError);';
  writeFileSync(join(made.app, "required.cjs"), code);
  expect(run("node", ["required.cjs"], made.app).trim()).toBe("object function");
});
