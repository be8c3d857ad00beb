import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { LoraConfig } from "../methods/index.js";
import { AutoModelForSeq2SeqLM } from "./auto.js";
import { getPeftModel } from "./get_peft_model.js";

const folder = fileURLToPath(new URL("../../tests/kit/models/t5-text", import.meta.url));
const prompt = { inputIds: [[3, 4, 1]] };

it("a model is closed at the end of the block that uses it, with its adapters or without", async () => {
  let base: Awaited<ReturnType<typeof AutoModelForSeq2SeqLM.fromPretrained>>;
  {
    await using model = await AutoModelForSeq2SeqLM.fromPretrained(folder);
    base = model;
    expect(await model.generate(prompt, { maxNewTokens: 2 })).toHaveLength(1);
  }
  await expect(base.generate(prompt, { maxNewTokens: 2 })).rejects.toMatchObject({ code: "engine" });
  const again = await AutoModelForSeq2SeqLM.fromPretrained(folder);
  {
    await using model = getPeftModel(again, new LoraConfig({ r: 2 }));
    expect(await model.generate(prompt, { maxNewTokens: 2 })).toHaveLength(1);
  }
  await expect(again.generate(prompt, { maxNewTokens: 2 })).rejects.toMatchObject({ code: "engine" });
});
