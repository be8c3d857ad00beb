import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { PreTrainedModel } from "./base_model.js";

const kit = new URL("../../tests/kit/models/bart/", import.meta.url).pathname;
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** BART with other fields in its config.json; undefined: without this one. */
async function bartWith(fields: Readonly<Record<string, unknown>>): Promise<PreTrainedModel> {
  const folder = mkdtempSync(join(tmpdir(), "peft-bart-"));
  folders.push(folder);
  cpSync(kit, folder, { recursive: true });
  rmSync(join(folder, "generation_config.json"), { force: true });
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...fields }));
  return PreTrainedModel.load("SEQ_2_SEQ_LM", folder);
}

it("has the ids of Python's config class where config.json names none", async () => {
  const absent = {
    eos_token_id: undefined,
    forced_eos_token_id: undefined,
    decoder_start_token_id: undefined,
  };
  const { config, generationConfig } = await bartWith({ ...absent, bos_token_id: 7 });
  expect(generationConfig).toMatchObject({ bosTokenId: 7, eosTokenId: 2, forcedEosTokenId: 2 });
  expect(config).toMatchObject({ padTokenId: 1, decoderStartTokenId: 2 });
});

it("has none where config.json says null", async () => {
  const { generationConfig } = await bartWith({ eos_token_id: null, forced_eos_token_id: null });
  expect(generationConfig.eosTokenId ?? generationConfig.forcedEosTokenId).toBeUndefined();
});
