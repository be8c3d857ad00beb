import { readdirSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { LoraConfig, PromptEncoderConfig } from "../../src/methods/index.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { HubServer } from "../support/hub_server.js";
import { startHub } from "../support/hub_server.js";
import { CLOSE, difference, disturb, loadBase, logitsOf, sampleBatch, temporaryFolder } from "./kit.js";

// An adapter goes to the Hub and comes back, over HTTP.
let hub: HubServer;
let base: PreTrainedModel;
beforeAll(async () => {
  hub = await startHub();
  base = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
});
afterAll(async () => {
  await base.close();
  await hub.close();
});

it("pushes adapters as they are saved, and loads them from there", async () => {
  const cacheDir = temporaryFolder();
  const options = { token: "secret", endpoint: hub.endpoint, env: {}, cacheDir, wait: async () => {} };
  const batch = sampleBatch("llama");
  const model = new PeftModel(base);
  model.addAdapter("default", new LoraConfig({ r: 4 }));
  model.addAdapter("second", new PromptEncoderConfig({ numVirtualTokens: 2 }));
  await model.ready();
  for (const adapter of model.adapters.values()) disturb(adapter);
  const before = await logitsOf(model, batch);

  const pushed = await model.pushToHub("me/mine", { ...options, private: true });
  expect(pushed.url).toBe(`${hub.endpoint}/me/mine`);
  const repo = hub.repos.get("me/mine")!;
  expect(repo.visibility).toBe("private");
  const files = ["README.md", "adapter_config.json", "adapter_model.safetensors"];
  expect([...repo.files.keys()].sort()).toEqual(
    [...files, ...[...files, "adapter_prompt_encoder.safetensors"].map((f) => `second/${f}`)].sort(),
  );
  expect(readdirSync(cacheDir)).toEqual([]); // no drafts stay behind

  const again = await PeftModel.fromPretrained(base, "me/mine", options);
  expect(difference(await logitsOf(again, batch), before)).toBeLessThan(CLOSE);

  await model.pushToHub("me/one", { ...options, selectedAdapters: ["default"] });
  expect([...hub.repos.get("me/one")!.files.keys()].sort()).toEqual(files);
  await expect(model.pushToHub("mine", options)).rejects.toThrow(/\[hub\].*owner\/name/);
  await expect(model.pushToHub("me/x", { ...options, selectedAdapters: ["nope"] })).rejects.toThrow(/"nope"/);
  expect(hub.repos.has("me/x")).toBe(false);
});
