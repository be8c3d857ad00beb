import { expect, it } from "vitest";
import { printable } from "./printable.js";

it.each([
  ["plain text,\ttabs\nand lines stay: äß 漢字 👍", "plain text,\ttabs\nand lines stay: äß 漢字 👍"],
  ["\u001b[2J\u001b]0;title\u0007", "\\x1b[2J\\x1b]0;title\\x07"],
  ["over\rwritten\b\u007f", "over\\x0dwritten\\x08\\x7f"],
  ["\u009b31m C1", "\\x9b31m C1"],
  ["user\u202egnp.exe\u2066\u2069", "user\\u202egnp.exe\\u2066\\u2069"],
  ["left-to-right mark \u200e and joiner \u200d stay", "left-to-right mark \u200e and joiner \u200d stay"],
])("%j", (text, shown) => {
  expect(printable(text)).toBe(shown);
});
