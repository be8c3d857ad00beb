import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { HubServer, ServedRepo } from "../../tests/support/hub_server.js";
import { commitId, startHub } from "../../tests/support/hub_server.js";
import type { HubOptions } from "../hub/settings.js";
import { loadDataset } from "./load.js";
import type { Row } from "./row.js";

const parquet = readFileSync(new URL("fixtures/none.parquet", import.meta.url));
const branch = "refs/convert/parquet";
let hub: HubServer;
let set: ServedRepo;
let cacheDir: string;

beforeEach(async () => {
  hub = await startHub();
  cacheDir = mkdtempSync(join(tmpdir(), "peft-sets-"));
  const names = ["default/train/0001.parquet", "default/train/0000.parquet", "default/test/0000.parquet"];
  const files = new Map([...names, "extra/train/0000.parquet", "README.md"].map((name) => [name, parquet]));
  files.set("default/train/0001.parquet", readFileSync(new URL("fixtures/snappy.parquet", import.meta.url)));
  set = { commit: commitId(1), branch, files };
  hub.repos.set("datasets/org/letters", set);
});
afterEach(async () => {
  await hub.close();
  rmSync(cacheDir, { recursive: true });
});

const load = (name: string, options: HubOptions = {}): Promise<Row[]> =>
  loadDataset(name, {
    limit: 8,
    columns: { words: "tokens", tags: "ner_tags" },
    warn: () => {},
    hub: {
      endpoint: hub.endpoint,
      cacheDir,
      env: { HF_TOKEN_PATH: "/nowhere" },
      wait: async () => {},
      ...options,
    },
  });
const failure = (name: string, options: HubOptions = {}): Promise<string> =>
  load(name, options).then(JSON.stringify, String);
const fetched = (): string[] => hub.log.map(({ path }) => path).filter((path) => path.includes("/store/"));

describe("a data set of the Hub", () => {
  it("is read from its Parquet branch, shard after shard, into the cache that Python shares", async () => {
    const rows = await load("hf://datasets/org/letters");
    const folder = join(cacheDir, "datasets--org--letters", "snapshots", set.commit, "default", "train");
    expect(rows[0]).toMatchObject({ words: ["The", "card"], at: `${join(folder, "0000.parquet")} row 1` });
    expect(new Set(rows.map(({ at }) => at?.split(" row")[0]))).toEqual(
      new Set([join(folder, "0000.parquet"), join(folder, "0001.parquet")]),
    );
    expect(fetched().sort()).toEqual([
      "/store/datasets/org/letters/default/train/0000.parquet",
      "/store/datasets/org/letters/default/train/0001.parquet",
    ]);
  });

  it.each([
    ["/test", "default/test"],
    ["/default/test", "default/test"],
    ["/extra", "extra/train"],
    [`@${branch}/extra/train`, "extra/train"],
    ["@refs%2Fconvert%2Fparquet/extra", "extra/train"],
    [`@${commitId(1)}/test`, "default/test"],
  ])("%s is %s", async (rest, folder) => {
    const [row] = await load(`hf://datasets/org/letters${rest}`);
    expect(row?.at).toContain(join(set.commit, folder, "0000.parquet"));
  });

  it("is read from the cache where the Hub is not there, and downloads go on where they broke", async () => {
    hub.faults.push({ path: "/store/datasets/org/letters/default/test", cutAfter: 1200 });
    const rows = await load("hf://datasets/org/letters/test");
    const ranges = hub.log.filter(({ path }) => path.includes("/store/")).map(({ range }) => range);
    expect(ranges).toEqual([undefined, "bytes=1200-"]);
    expect(await load("hf://datasets/org/letters/test", { offline: true })).toEqual(rows);
    expect(await failure("hf://datasets/org/letters/extra/train", { offline: true })).toMatch(
      /default\/test/,
    );
    expect(await failure("hf://datasets/org/other", { offline: true })).toMatch(/is not in the cache/);
  });

  it("sends the token", async () => {
    set.token = "secret";
    expect(await failure("hf://datasets/org/letters")).toMatch(
      /\[hub\].*does not let you see "org\/letters"/,
    );
    expect(await load("hf://datasets/org/letters", { token: "secret" })).not.toHaveLength(0);
  });

  it("that cannot be read is said", async () => {
    expect(await failure("hf://datasets/org/letters/tset")).toMatch(
      /has the configs and splits default\/train, default\/test, extra\/train.*"tset" is none of them.*fix: name one: hf:/s,
    );
    expect(await failure("hf://datasets/org/letters/default/dev")).toMatch(/"default\/dev" is none of them/);
    expect(await failure("hf://org/letters")).toMatch(/names no data set.*hf:\/\/datasets\/OWNER\/NAME/s);
    set.branch = "main";
    expect(await failure("hf://datasets/org/letters")).toMatch(/has no Parquet branch.*--repo-type dataset/s);
    set.gated = true;
    expect(await failure("hf://datasets/org/letters")).toMatch(/agree at .*\/datasets\/org\/letters/s);
  });

  it("with names outside the cache, or other content than is listed, is refused", async () => {
    set.files.set("default/../0000.parquet", parquet);
    expect(await failure("hf://datasets/org/letters/default/..")).toMatch(
      /would be written outside the cache/,
    );
    hub.faults.push({ path: "/store/datasets", garble: true }, { path: "/store/datasets", garble: true });
    expect(await failure("hf://datasets/org/letters/extra/train")).toMatch(/did not arrive as it should/);
  });
});
