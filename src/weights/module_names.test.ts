import { expect, it } from "vitest";
import { vit } from "../models/vit.js";
import { moduleNamesOf } from "./module_names.js";

const { today, before } = moduleNamesOf(vit.checkpoint);

it.each([
  ["vit.encoder.layer.11.attention.attention.query.weight", "vit.layers.11.attention.q_proj.weight"],
  ["vit.encoder.layer.0.attention.output.dense.bias", "vit.layers.0.attention.o_proj.bias"],
  ["vit.encoder.layer.0.intermediate.dense.weight", "vit.layers.0.mlp.fc1.weight"],
  ["vit.encoder.layer.0.output.dense.lora_A.weight", "vit.layers.0.mlp.fc2.lora_A.weight"],
])("%s is %s today, and was that before", (old, now) => {
  expect(today(old)).toBe(now);
  expect(before(now)).toBe(old);
  expect(today(now)).toBe(now);
});

it("names that no rule has stay", () => {
  expect(today("classifier.weight")).toBe("classifier.weight");
  expect(moduleNamesOf(undefined).today("encoder.layer.0")).toBe("encoder.layer.0");
});
