import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Fault, HubServer, ServedRepo } from "../../tests/support/hub_server.js";
import { commitId, idOf, startHub } from "../../tests/support/hub_server.js";
import { nodeFiles } from "./files.js";
import type { ResolveOptions } from "./resolve.js";
import { resolveFolder } from "./resolve.js";
import type { HubEvent } from "./settings.js";

const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 3));
const commit = commitId(1);
let hub: HubServer;
let repo: ServedRepo;
let cacheDir: string;
let events: HubEvent[];
let waits: number[];

beforeEach(async () => {
  hub = await startHub();
  cacheDir = fs.mkdtempSync(join(tmpdir(), "peft-cache-"));
  events = [];
  waits = [];
  const texts = {
    "config.json": "{}",
    "tokenizer.json": '{"x":1}',
    "README.md": "# hi",
    "vocab.txt": "a\nb",
  };
  const files = new Map(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]));
  repo = { commit, files };
  files.set("model.safetensors", weights);
  files.set("pytorch_model.bin", Buffer.alloc(5000));
  hub.repos.set("org/tiny", repo);
});
afterEach(async () => {
  await hub.close();
  fs.rmSync(cacheDir, { recursive: true, force: true });
});

const get = (options: ResolveOptions = {}, name = "org/tiny"): Promise<string> =>
  resolveFolder(name, {
    endpoint: hub.endpoint,
    cacheDir,
    env: { HF_TOKEN_PATH: "/nowhere" },
    progress: (event) => events.push(event),
    wait: async (milliseconds) => void waits.push(milliseconds),
    ...options,
  });
const root = (...parts: string[]): string => join(cacheDir, "models--org--tiny", ...parts);
const fetched = (path: string): (string | undefined)[] =>
  hub.log.filter((request) => request.path.includes(path)).map((request) => request.range);
/** Nothing half written: no file in the cache is under a final name without its whole content. */
function leftovers(): string[] {
  return fs.existsSync(root("blobs"))
    ? fs.readdirSync(root("blobs")).filter((name) => name.includes("."))
    : [];
}

describe("a download", () => {
  test("takes configs, tokenizer and the weights once, into the layout that Python shares", async () => {
    const folder = await get();
    expect(folder).toBe(root("snapshots", commit));
    expect(fs.readdirSync(folder).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "vocab.txt",
    ]);
    expect(fs.readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(fs.readlinkSync(join(folder, "model.safetensors"))).toBe(join("..", "..", "blobs", idOf(weights)));
    expect(fs.readFileSync(root("refs", "main"), "utf8")).toBe(commit);
    expect(leftovers()).toEqual([]);
    expect(fs.readdirSync(join(cacheDir, ".locks", "models--org--tiny"))).toEqual([]);
  });
  test("takes away the lock of a process that was killed when its file was there", async () => {
    await get();
    const lock = join(cacheDir, ".locks", "models--org--tiny", `${idOf(weights)}.peft`);
    fs.writeFileSync(lock, "elsewhere_1_1");
    fs.rmSync(root("snapshots"), { recursive: true }); // links come after the lock
    await get();
    expect(fs.existsSync(lock)).toBe(false);
    expect(fetched("store/org/tiny/model.safetensors").length).toBe(1);
    fs.rmSync(root("."), { recursive: true });
    fs.writeFileSync(lock, ""); // killed before it wrote its name
    fs.utimesSync(lock, 1, 1);
    await get();
    expect(fs.existsSync(lock)).toBe(false);
  });
  test("tells how far it is", async () => {
    await get();
    const last = events.filter((event) => event.kind === "progress").at(-1);
    const start = events[0];
    if (start?.kind !== "start" || last?.kind !== "progress") throw new Error("no events");
    expect(start.files).toBe(4);
    expect(last.allLoaded).toBe(start.bytes);
    expect(events.filter((event) => event.kind === "done").length).toBe(4);
  });
  test("is not repeated: the second time one question is asked", async () => {
    await get();
    const before = hub.log.length;
    await get();
    expect(hub.log.length - before).toBe(1);
  });
  test("of a commit that is there asks nothing", async () => {
    await get();
    const before = hub.log.length;
    expect(await get({ revision: commit })).toBe(root("snapshots", commit));
    expect(hub.log.length).toBe(before);
  });
  test("of a new commit keeps what did not change", async () => {
    await get();
    repo.commit = commitId(2);
    repo.files.set("config.json", Buffer.from('{"new":true}'));
    const folder = await get();
    expect(fs.readFileSync(join(folder, "config.json"), "utf8")).toBe('{"new":true}');
    expect(fetched("store/org/tiny/model.safetensors").length).toBe(1);
    expect(fs.readFileSync(join(root("snapshots", commit), "config.json"), "utf8")).toBe("{}");
  });
  test("of some files only takes those", async () => {
    expect(fs.readdirSync(await get({ files: ["config.json", "vocab*"] })).sort()).toEqual([
      "config.json",
      "vocab.txt",
    ]);
  });
  test("takes shards, and .bin where there is nothing else", async () => {
    const index = '{"weight_map":{"a":"pytorch_model-1-of-2.bin","b":"pytorch_model-2-of-2.bin"}}';
    const names = ["pytorch_model.bin.index.json", "pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin"];
    const files = new Map(names.map((name) => [name, Buffer.from(index)]));
    hub.repos.set("org/bin", { commit, files: files.set("config.json", Buffer.from("{}")) });
    expect(fs.readdirSync(await get({}, "org/bin")).sort()).toEqual(["config.json", ...names].sort());
    expect(await get({ offline: true }, "org/bin")).toContain("models--org--bin");
  });
  test("asked for twice at once happens once", async () => {
    const real = { wait: undefined };
    await Promise.all([get(real), get(real), get(real)]);
    expect(fetched("store/org/tiny/model.safetensors").length).toBe(1);
  });
});

describe("a broken connection", () => {
  test("is taken up where it stopped", async () => {
    hub.faults.push({ path: "/store/", cutAfter: 100_000 }, { path: "/store/", cutAfter: 50_000 });
    const folder = await get();
    expect(fs.readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(fetched("/store/")).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
  });
  test("that stays broken keeps what came; the next run goes on from there", async () => {
    hub.faults.push({ path: "/store/", cutAfter: 100_000 });
    for (let i = 0; i < 10; i++) hub.faults.push({ path: "/store/", cutAfter: 0 });
    await expect(get()).rejects.toThrow(
      /could not be taken from the Hub.*model.safetensors: the connection broke/,
    );
    expect(leftovers()).toEqual([`${idOf(weights)}.incomplete`]);
    expect(fs.existsSync(root("refs", "main"))).toBe(false);
    hub.faults.length = 0;
    hub.log.length = 0;
    const folder = await get();
    expect(fetched("/store/")).toEqual(["bytes=100000-"]);
    expect(fs.readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
  });
  test("a killed process's part is taken over, one at work on another machine is left alone", async () => {
    const mine = nodeFiles.owner().replace(/\d+$/, "4194304999");
    fs.mkdirSync(root("blobs"), { recursive: true });
    fs.writeFileSync(
      root("blobs", `${idOf(weights)}.elsewhere_1_abcdefgh.incomplete`),
      weights.subarray(0, 9),
    );
    fs.writeFileSync(
      root("blobs", `${idOf(weights)}.${mine}_abcdefgh.incomplete`),
      weights.subarray(0, 70_000),
    );
    await get();
    expect(fetched("/store/")).toEqual(["bytes=70000-"]);
    expect(leftovers()).toEqual([`${idOf(weights)}.elsewhere_1_abcdefgh.incomplete`]);
  });
  test("a server that knows no ranges starts over", async () => {
    hub.faults.push({ path: "/store/", cutAfter: 100_000 }, { path: "/store/", ignoreRange: true });
    expect(fs.readFileSync(join(await get(), "model.safetensors")).equals(weights)).toBe(true);
  });
  test("a damaged part is found by its digest and fetched again", async () => {
    fs.mkdirSync(root("blobs"), { recursive: true });
    fs.writeFileSync(root("blobs", `${idOf(weights)}.incomplete`), Buffer.alloc(70_000));
    expect(fs.readFileSync(join(await get(), "model.safetensors")).equals(weights)).toBe(true);
    expect(fetched("/store/")).toEqual(["bytes=70000-", undefined]);
  });
  test("content that is wrong twice is an error, and nothing of it stays", async () => {
    hub.faults.push({ path: "/store/", garble: true }, { path: "/store/", garble: true });
    await expect(get()).rejects.toThrow(/"model.safetensors" of "org\/tiny" did not arrive as it should/);
    expect(leftovers()).toEqual([]);
  });
  test("a file that changed under the listing is an error before anything is fetched", async () => {
    hub.faults.push({ path: "/resolve/", id: "0".repeat(64) });
    await expect(get({ files: ["model.safetensors"] })).rejects.toThrow(/other content came/);
    expect(fetched("/store/")).toEqual([]);
  });
  test("a stop keeps what came", async () => {
    const stop = new AbortController();
    const progress = (event: HubEvent): void => {
      if (event.kind === "progress" && event.file === "model.safetensors" && event.loaded > 0) stop.abort();
    };
    hub.faults.push({ path: "/store/", cutAfter: 100_000 });
    const files = ["model.safetensors"];
    await expect(get({ signal: stop.signal, progress, files })).rejects.toMatchObject({ code: "aborted" });
    expect(leftovers()).toEqual([`${idOf(weights)}.incomplete`]);
  });
});

describe("refusals", () => {
  test("429 waits as long as it is told, 5xx a little", async () => {
    hub.faults.push({ path: "/api/models/", status: 429, headers: { "retry-after": "7" } });
    hub.faults.push({ path: "/resolve/", status: 503 });
    await get();
    expect(waits).toEqual([7000, 1000]);
    expect(events.find((event) => event.kind === "retry")).toMatchObject({ seconds: 7 });
  });
  test("429 for ever gives up", async () => {
    for (let i = 0; i < 9; i++) hub.faults.push({ path: "/api/models/", status: 429 });
    await expect(get()).rejects.toThrow(/answered 429.*check the network/);
    expect(waits).toEqual([1000, 2000, 4000, 8000]);
  });
  test("a private repository: the token goes to the Hub and never to the store", async () => {
    repo.token = "private-token";
    await expect(get()).rejects.toThrow(/does not let you see.*no token was given.*set HF_TOKEN/);
    await expect(get({ token: "wrong" })).rejects.toThrow(
      /your token is wrong or has expired.*Invalid username/,
    );
    hub.log.length = 0;
    await get({ env: { HF_TOKEN: "private-token" } });
    const withToken = hub.log.filter((request) => request.authorization === "Bearer private-token");
    expect(withToken.length).toBeGreaterThan(3);
    expect(
      hub.log.filter((request) => request.path.startsWith("/store/")).map((r) => r.authorization),
    ).toEqual([undefined]);
  });
  test("a gated repository says where to agree", async () => {
    repo.gated = true;
    await expect(get()).rejects.toThrow(/refuses access.*agree to terms first.*agree at http.*org\/tiny/);
  });
  test("a name or revision that does not exist", async () => {
    await expect(get({ token: "t" }, "org/none")).rejects.toThrow(/There is no repository "org\/none"/);
    await expect(get({ revision: "v9" })).rejects.toThrow(/has no revision "v9".*Invalid rev id/);
  });
  test("a file that vanished", async () => {
    hub.faults.push({ path: "/resolve/", status: 404, headers: { "x-error-code": "EntryNotFound" } });
    await expect(get({ files: ["vocab.txt"] })).rejects.toThrow(/has no file "vocab.txt"/);
  });
  test("patterns that match nothing list what is there", async () => {
    await expect(get({ files: ["*.gguf"] })).rejects.toThrow(/\*\.gguf are looked for; it holds config.json/);
  });
  test("file names that would leave the cache", async () => {
    repo.files.set("../../adapter_x.json", Buffer.from("{}"));
    await expect(get({ files: ["*"] })).rejects.toThrow(/outside the cache/);
    expect(fs.existsSync(root())).toBe(false);
  });
  test("what is neither folder nor id", async () => {
    for (const name of ["./none", "/none/x", "a/b/c", "a b", "../x", ""]) {
      await expect(get({}, name)).rejects.toThrow(/There is no folder/);
    }
    await expect(get({ revision: "../x" })).rejects.toThrow(/cannot be a revision/);
    expect(hub.log).toEqual([]);
  });
});

describe("answers that the Hub would not give", () => {
  const good = { type: "file", path: "config.json", size: 2, oid: "0".repeat(40) };
  const refuse = async (fault: Fault, message: RegExp, options?: ResolveOptions): Promise<void> => {
    hub.faults.push(fault);
    const error = await get(options).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "hub", message: expect.stringMatching(message) });
    expect(fs.existsSync(root("snapshots"))).toBe(false);
    expect(fs.existsSync(root("refs"))).toBe(false);
  };
  test.each(["../../../evil", "a/../../b", "0".repeat(39), 7, null, "A".repeat(40)])(
    "a commit %s names no folder",
    (sha) =>
      refuse(
        { path: "/revision/", body: { sha, siblings: [{ rfilename: "config.json" }] } },
        /as the commit/,
      ),
  );
  test.each([
    [{ oid: "../../../../etc/passwd" }, /"\.\.\/\.\.\/\.\.\/\.\.\/etc\/passwd" as the id/],
    [{ lfs: { oid: "../x", size: 3 } }, /as the id/],
    [{ lfs: { oid: "0".repeat(40), size: 3 } }, /as the id/],
    [{ oid: undefined }, /as the id/],
    [{ oid: ["0".repeat(40)] }, /as the id/],
    [{ size: -1 }, /-1 as the size/],
    [{ size: 1e300 }, /as the size/],
    [{ size: "2" }, /as the size/],
    [{ path: 7 }, /a file named 7/],
  ])("a listed file %j is refused", (change, message) =>
    refuse({ path: "/tree/", body: [{ ...good, ...change }] }, message),
  );
  test.each(["/revision/", "/tree/"])(
    "%s of another form: no object, nothing, a list of null",
    async (path) => {
      for (const body of ["null", "7", "", "[null]", '"text"']) {
        hub.faults.push({ path, body });
        const error = await get().catch((thrown: unknown) => thrown);
        expect(error, `${path} ${body}`).toMatchObject({ code: "hub" });
      }
    },
  );
  test("an id that names a local file links to nothing", async () => {
    const secret = join(cacheDir, "secret");
    fs.writeFileSync(secret, "secret");
    await refuse({ path: "/tree/", body: [{ ...good, oid: "../../secret" }] }, /as the id/);
    expect(fs.readFileSync(secret, "utf8")).toBe("secret");
  });
  test("a page of HTML, an answer without end, pages in a circle", async () => {
    await refuse(
      { path: "/revision/", body: "<!doctype html><title>Log in" },
      /is no JSON.*<!doctype html>.*proxy/,
    );
    await refuse({ path: "/revision/", body: "endless" }, /longer than 32 MB/);
    const circle = (at: string): Fault => ({
      path: "/tree/",
      body: [],
      headers: { link: `<${hub.endpoint}/api/models/org/tiny/tree/${commit}?at=${at}>; rel="next"` },
    });
    hub.faults.push(circle("a"), circle("b"), circle("a"));
    await expect(get()).rejects.toThrow(/pages of its list of files do not end/);
  });
  test("a refusal without end is quoted from its beginning", async () => {
    await refuse({ path: "/revision/", status: 400, body: "endless" }, /answered 400.*said: "xxx/);
  });
  test("a redirect to a file", async () => {
    const location = "file:///etc/passwd";
    const fault = { path: "/resolve/", status: 302, headers: { location } }; // one file: others might arrive before
    await refuse(fault, /address "file:.*passwd"/, { files: ["vocab.txt"] });
  });
  test("one file that fails ends the others, however long they would wait", async () => {
    hub.faults.push({ path: "/store/", body: "stalls" });
    hub.faults.push({ path: "vocab.txt", status: 404, headers: { "x-error-code": "EntryNotFound" } });
    await expect(get()).rejects.toThrow(/has no file "vocab.txt"/);
  });
});

describe("without a network", () => {
  test("what is in the cache serves, and it is said", async () => {
    const folder = await get();
    await hub.close();
    events.length = 0;
    expect(await get()).toBe(folder);
    expect(events.at(-1)).toMatchObject({ kind: "offline" });
    hub = await startHub();
  });
  test("what is not in the cache is an error that says so", async () => {
    const { endpoint } = hub;
    await hub.close();
    await expect(get({ endpoint })).rejects.toThrow(
      /no complete copy is in the cache.*cannot be reached.*ECONNREFUSED/,
    );
    hub = await startHub();
  });
  test("without name lookup the second try is the last: nobody waits for a network that is not there", async () => {
    for (const code of ["ENOTFOUND", "EAI_AGAIN"]) {
      waits.length = 0;
      const cause = Object.assign(new Error(`getaddrinfo ${code} hub`), { code });
      const fetch = async (): Promise<Response> => {
        throw new TypeError("fetch failed", { cause });
      };
      await expect(get({ fetch })).rejects.toThrow(`cannot be reached (getaddrinfo ${code} hub)`);
      expect(waits).toEqual([1000]);
    }
  });
  test("offline mode asks nobody", async () => {
    await expect(get({ env: { HF_HUB_OFFLINE: "1" } })).rejects.toThrow(
      /not in the cache.*offline mode is on/,
    );
    expect(hub.log).toEqual([]);
    const folder = await get();
    const before = hub.log.length;
    expect(await get({ env: { HF_HUB_OFFLINE: "1" } })).toBe(folder);
    expect(hub.log.length).toBe(before);
    fs.rmSync(join(folder, "model.safetensors"));
    await expect(get({ offline: true })).rejects.toThrow(/not all of it/);
    expect(await get({ offline: true, files: ["config.json"] })).toBe(folder);
  });
  test("a cache that Python filled is used, found through HF_HOME", async () => {
    const home = join(cacheDir, "home");
    const python = join(home, "hub", "models--gpt2");
    for (const folder of ["blobs", "refs", `snapshots/${commit}`])
      fs.mkdirSync(join(python, folder), { recursive: true });
    fs.writeFileSync(join(python, "refs", "main"), commit);
    for (const name of ["config.json", "model.safetensors"]) {
      fs.writeFileSync(join(python, "blobs", `id-${name}`), "{}");
      fs.symlinkSync(`../../blobs/id-${name}`, join(python, "snapshots", commit, name));
    }
    const options = { cacheDir: undefined, env: { HF_HOME: home, HF_HUB_OFFLINE: "true" } };
    expect(await get(options, "gpt2")).toBe(join(python, "snapshots", commit));
  });
});

test("a local folder is itself", async () => {
  expect(await get({}, cacheDir)).toBe(cacheDir);
  expect(hub.log).toEqual([]);
});
