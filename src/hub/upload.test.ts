import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { HubServer } from "../../tests/support/hub_server.js";
import { commitId, startHub } from "../../tests/support/hub_server.js";
import type { PushOptions } from "./upload.js";
import { pushFolder } from "./upload.js";

let hub: HubServer;
let folder: string;
const weights = Buffer.alloc(20_000, "adapter");

beforeEach(async () => {
  hub = await startHub();
  folder = fs.mkdtempSync(join(tmpdir(), "peft-push-"));
  fs.writeFileSync(join(folder, "adapter_config.json"), '{"r": 8}');
  fs.writeFileSync(join(folder, "adapter_model.safetensors"), weights);
  fs.mkdirSync(join(folder, "second"));
  fs.writeFileSync(join(folder, "second", "adapter_config.json"), "{}");
  fs.writeFileSync(join(folder, ".hidden"), "x");
});
afterEach(async () => {
  await hub.close();
  fs.rmSync(folder, { recursive: true });
});

const push = (options: PushOptions = {}, repo = "me/mine"): ReturnType<typeof pushFolder> =>
  pushFolder(folder, repo, {
    token: "secret",
    endpoint: hub.endpoint,
    wait: async () => {},
    env: {},
    ...options,
  });

test("makes the repository and puts every file there, large ones through the store", async () => {
  expect(await push({ private: true, message: "first" })).toEqual({
    url: `${hub.endpoint}/me/mine`,
    commit: commitId(1),
    files: ["adapter_config.json", "adapter_model.safetensors", "second/adapter_config.json"],
    leftBehind: [".hidden"],
  });
  const repo = hub.repos.get("me/mine")!;
  expect(repo).toMatchObject({ visibility: "private", message: "first" });
  const names = ["adapter_config.json", "adapter_model.safetensors", "second/adapter_config.json"];
  expect([...repo.files.keys()].sort()).toEqual(names);
  expect(repo.files.get("adapter_model.safetensors")?.equals(weights)).toBe(true);
  expect(repo.files.get("adapter_config.json")?.toString()).toBe('{"r": 8}');
  const puts = hub.log.filter((request) => request.method === "PUT");
  expect(puts.map((request) => request.authorization)).toEqual([undefined]);
});

test("sends adapters, models and tokenizers; what a run and its user keep beside them stays", async () => {
  const sent = [
    ...["README.md", "config.json", "generation_config.json", "model-00001-of-00002.safetensors"],
    ...["model.safetensors.index.json", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json"],
    ...["special_tokens_map.json", "vocab.txt", "merges.txt", "spiece.model", "chat_template.jinja"],
    "adapter_prompt_encoder.safetensors",
  ];
  const stays = [
    ...["run.json", "metrics.jsonl", "report.html", "training_config.json", "training_state.safetensors"],
    ...["checkpoints/checkpoint-7/adapter_model.safetensors", "checkpoint-500/config.json", "train.csv"],
    ...[".git/config.json", "notes.txt", "rows.json"],
  ];
  for (const name of [...sent, ...stays]) {
    fs.mkdirSync(join(folder, name, ".."), { recursive: true });
    fs.writeFileSync(join(folder, name), "x");
  }
  const { files, leftBehind } = await push();
  const before = ["adapter_config.json", "adapter_model.safetensors", "second/adapter_config.json"];
  expect([...hub.repos.get("me/mine")!.files.keys()].sort()).toEqual([...sent, ...before].sort());
  expect(files).toEqual([...sent, ...before].sort());
  expect(leftBehind).toEqual([...stays, ".hidden"].sort());
});

test("updates a repository that exists", async () => {
  await push();
  fs.writeFileSync(join(folder, "adapter_config.json"), '{"r": 16}');
  expect((await push()).commit).toBe(commitId(2));
  expect(hub.repos.get("me/mine")?.files.get("adapter_config.json")?.toString()).toBe('{"r": 16}');
});

test("waits where it is asked to", async () => {
  hub.faults.push({ path: "/api/repos/create", status: 429, headers: { "retry-after": "1" } });
  hub.faults.push({ path: "/upload/", status: 503 });
  const waits: number[] = [];
  await push({ wait: async (milliseconds) => void waits.push(milliseconds) });
  expect(waits).toEqual([1000, 1000]);
});

test("a wrong token, no token, a name without owner, an empty folder, offline, no network", async () => {
  await expect(push({ token: "wrong" })).rejects.toThrow(/your token is wrong or has expired/);
  await expect(push({ token: undefined, env: { HF_TOKEN_PATH: "/nowhere" } })).rejects.toThrow(
    /no token to upload/,
  );
  await expect(push({}, "mine")).rejects.toThrow(/"owner\/name"/);
  await expect(push({ offline: true })).rejects.toThrow(/offline mode/);
  await expect(pushFolder(join(folder, "none"), "me/mine", { token: "t", env: {} })).rejects.toThrow(
    /no files.*empty or absent/,
  );
  const only = fs.mkdtempSync(join(tmpdir(), "peft-push-"));
  fs.writeFileSync(join(only, "rows.csv"), "a");
  await expect(pushFolder(only, "me/mine", { token: "t", env: {} })).rejects.toThrow(/none of rows\.csv/);
  fs.rmSync(only, { recursive: true });
  expect(hub.repos.size).toBe(0);
  await hub.close();
  await expect(push()).rejects.toThrow(/could not be sent.*cannot be reached/);
  hub = await startHub();
});

test("a commit that is refused is an error of the Hub, in its words", async () => {
  const headers = { "x-error-message": "You have exceeded your storage" };
  hub.faults.push({ path: "/commit/", status: 403, headers });
  await expect(push()).rejects.toThrow(/does not permit this.*exceeded your storage/);
});
