import { expect, it } from "vitest";
import { nearest } from "./nearest.js";

it.each([
  ["qproj", ["q_proj", "k_proj", "v_proj"], "q_proj"],
  ["Label", ["text", "label"], "label"],
  ["lable", ["text", "label"], "label"],
  ["banana", ["text", "label"], undefined],
  ["x", ["q", "k"], undefined], // any one letter is near any other
  ["K", ["q", "k"], "k"],
  ["", ["q"], undefined],
] as const)("%s of %j: %s", (wanted, names, expected) => {
  expect(nearest(wanted, names)).toBe(expected);
});
