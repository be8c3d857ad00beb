import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeFiles } from "./files.js";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "peft-files-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("reading", () => {
  test("gives exactly the bytes asked for", async () => {
    const path = join(folder, "a");
    fs.writeFileSync(path, "0123456789");
    expect(new TextDecoder().decode(await nodeFiles.read(path, 3, 4))).toBe("3456");
    expect((await nodeFiles.read(path, 10, 0)).length).toBe(0);
  });
  test("refuses to read past the end, and says how far the file goes", async () => {
    const path = join(folder, "a");
    fs.writeFileSync(path, "0123");
    await expect(nodeFiles.read(path, 2, 4)).rejects.toThrow(/ends after 4 bytes.*to byte 6/);
  });
  test("names an absent file", async () => {
    await expect(nodeFiles.read(join(folder, "none"), 0, 1)).rejects.toThrow(
      /Cannot read .*none.*no such file/,
    );
  });
});

describe("writing atomically", () => {
  test("replaces the old file and leaves nothing beside it", async () => {
    const path = join(folder, "a");
    fs.writeFileSync(path, "old");
    await nodeFiles.writeAtomic(path, [bytes("new "), bytes("text")]);
    expect(fs.readFileSync(path, "utf8")).toBe("new text");
    expect(fs.readdirSync(folder)).toEqual(["a"]);
  });
  test("a source that fails half way leaves the old file whole", async () => {
    const path = join(folder, "a");
    fs.writeFileSync(path, "old");
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes("half");
      throw new Error("no more");
    };
    await expect(nodeFiles.writeAtomic(path, chunks())).rejects.toThrow("no more");
    expect(fs.readFileSync(path, "utf8")).toBe("old");
    expect(fs.readdirSync(folder)).toEqual(["a"]);
  });
  test("a disk that takes no more leaves the old file whole (a real limit of the system, in a process of its own)", async () => {
    const path = join(folder, "a");
    fs.writeFileSync(path, "old");
    const script = join(folder, "fill.ts");
    fs.writeFileSync(
      script,
      `import { nodeFiles } from ${JSON.stringify(fileURLToPath(new URL("files.ts", import.meta.url)))};
       nodeFiles.writeAtomic(${JSON.stringify(path)}, [new Uint8Array(1 << 20)])
         .then(() => console.log("written"), (error) => console.log(error.code + ": " + error.why));`,
    );
    const tsx = fileURLToPath(import.meta.resolve("tsx"));
    const run = `ulimit -f 64; exec "${process.execPath}" --import "${tsx}" "${script}"`;
    const { stdout } = await promisify(execFile)("bash", ["-c", run], {
      env: { ...process.env, TSX_DISABLE_CACHE: "1" },
    });
    expect(stdout.trim()).toBe("output: the file would be larger than the system allows.");
    expect(fs.readFileSync(path, "utf8")).toBe("old");
    expect(fs.readdirSync(folder).sort()).toEqual(["a", "fill.ts"]);
  });
  test("a full device is called a full disk", async () => {
    if (!fs.existsSync("/dev/full")) return;
    await expect(nodeFiles.append("/dev/full", [bytes("x")])).rejects.toThrow(/full.*free some space/);
  });
  test("a folder that cannot be written is an output error", async () => {
    await expect(nodeFiles.writeAtomic(join(folder, "no", "a"), [])).rejects.toMatchObject({
      code: "output",
    });
  });
});

test("folders are made with those above them, and where none can be made that is an error", async () => {
  const deep = join(folder, "a", "b", "c");
  await Promise.all([nodeFiles.makeFolder(deep), nodeFiles.makeFolder(deep)]);
  await nodeFiles.makeFolder(deep);
  expect(fs.statSync(deep).isDirectory()).toBe(true);
  fs.writeFileSync(join(folder, "file"), "x");
  await expect(nodeFiles.makeFolder(join(folder, "file", "below"))).rejects.toMatchObject({ code: "output" });
  // Node 20's own recursive mkdir hangs here
  if (fs.existsSync("/proc/self"))
    await expect(nodeFiles.makeFolder("/proc/nowhere/a/b")).rejects.toMatchObject({ code: "output" });
});

test("links are relative, so that a cache can be moved", async () => {
  await nodeFiles.makeFolder(join(folder, "blobs"));
  await nodeFiles.makeFolder(join(folder, "snapshots"));
  fs.writeFileSync(join(folder, "blobs", "x"), "content");
  await nodeFiles.link(join(folder, "blobs", "x"), join(folder, "snapshots", "config.json"));
  expect(fs.readlinkSync(join(folder, "snapshots", "config.json"))).toBe(join("..", "blobs", "x"));
  expect(await nodeFiles.listDeep(folder)).toEqual(["blobs/x", "snapshots/config.json"]);
});

test("digests are those of sha256sum and of git hash-object", async () => {
  const path = join(folder, "a");
  fs.writeFileSync(path, "hello\n");
  expect(await nodeFiles.digest(path, "git")).toBe("ce013625030ba8dba906f756967f9e9ca394464a");
  expect(await nodeFiles.digest(path, "sha256")).toBe(
    "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
  );
});

test("a process of this machine that has ended is known to be gone", () => {
  expect(nodeFiles.alive(nodeFiles.owner())).toBe(true);
  expect(nodeFiles.alive(nodeFiles.owner().replace(/\d+$/, "4194304999"))).toBe(false);
  expect(nodeFiles.alive("another-machine_1")).toBe(true);
});
