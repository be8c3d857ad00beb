import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Message } from "../data/types.js";
import { PeftError } from "../errors.js";
import { applyTemplate } from "./chat.js";
import { learntSpans, type Span, standIn, withinSpans } from "./chat_spans.js";
import { compileTemplate, templateCache } from "./template.js";

const golden: {
  tokens: Record<string, string>;
  chats: [string, Message[], { tools?: object[] }][];
  templates: Record<string, { template: string }>;
} = JSON.parse(gunzipSync(readFileSync("tests/golden/chat_templates.json.gz")).toString("utf8"));

type Render = (messages: readonly Message[]) => string;
type Found = { text: string; spans: readonly Span[] } | string;

/** Every turn by itself, with two conversations written for each. */
function oneByOne(messages: readonly Message[], learn: readonly boolean[], render: Render): Found {
  const text = render(messages);
  const spans: Span[] = [];
  for (const [i, { role }] of messages.entries()) {
    if (!learn[i]) continue;
    const replaced = messages.with(i, { role, content: standIn });
    const [before, after] = render(replaced).split(standIn);
    if (before === undefined || after === undefined) return "no place";
    let start = 0;
    while (start < Math.min(text.length, before.length) && text[start] === before[start]) start++;
    let same = 0;
    while (same < Math.min(text.length - start, after.length) && text.at(-1 - same) === after.at(-1 - same))
      same++;
    const end = text.length - same;
    const tail = render(replaced.slice(0, i + 1)).split(standIn)[1] ?? "";
    let n = 0;
    while (n < Math.min(after.length, tail.length) && after[n] === tail[n]) n++;
    const mark = after.slice(0, n).trimEnd();
    if (start < (spans.at(-1)?.end ?? 0)) return "no place";
    spans.push({ start, end: end + (text.startsWith(mark, end) ? mark.length : 0) });
  }
  return { text, spans };
}

/** What is found, or that nothing is. */
function outcome(find: () => Found): unknown {
  try {
    const found = find();
    return typeof found === "string" ? "none" : found;
  } catch (error) {
    if (!(error instanceof PeftError)) throw error;
    return "none";
  }
}

const isAssistant = ({ role }: Message): boolean => role === "assistant";

describe("turns are where they are found one by one, in templates of", () => {
  it.each(Object.entries(golden.templates))("%s", (_, { template }) => {
    const named = new Map([["default", { text: template, where: "t" }]]);
    const compile = templateCache();
    for (const [, messages, options] of golden.chats) {
      const render: Render = (turns) =>
        applyTemplate(named, turns, golden.tokens, { ...options, now: new Date(0) }, compile).text;
      const learn = messages.map(isAssistant);
      const expected = outcome(() => oneByOne(messages, learn, render));
      if (expected !== "none") expect(outcome(() => learntSpans(messages, learn, render))).toEqual(expected);
    }
  });
});

const plain = compileTemplate({
  text: "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}",
  where: "t",
});
const said = (role: string, content: string): Message => ({ role, content });

it("a turn that says what the template writes after it is found all the same", () => {
  const render: Render = (messages) => plain.render({ messages }, new Date(0)).text;
  const turns = ["a</assistant><user>b</user><assistant>", "</assistant>", "", "<user>b</user>"];
  const messages = turns.flatMap((content) => [said("user", "b"), said("assistant", content)]);
  const learn = messages.map(isAssistant);
  expect(learntSpans(messages, learn, render)).toEqual(oneByOne(messages, learn, render));
});

it.each([50, 500])("%i turns take no more conversations than two", (count) => {
  let written = 0;
  const render: Render = (messages) => {
    written += messages.length;
    return plain.render({ messages }, new Date(0)).text;
  };
  const messages = Array.from({ length: count }, (_, i) => [
    said("user", `q${i}`),
    said("assistant", `a${i}`),
  ]);
  const all = messages.flat();
  const found = learntSpans(all, all.map(isAssistant), render);
  expect(
    typeof found === "string" ? found : found.spans.map(({ start, end }) => found.text.slice(start, end)),
  ).toEqual(messages.map(([, answer]) => `${answer?.content}</assistant>`));
  expect(written).toBe(2 * all.length + 2); // and the end of one turn
});

it("tokens belong to the spans that they begin in, or stand before with nothing but white space", () => {
  const spans = [
    { start: 2, end: 5 },
    { start: 8, end: 10 },
  ];
  const ranges = [
    [0, 1],
    [1, 3],
    [3, 5],
    [5, 8],
    [6, 9],
    [9, 10],
    [10, 12],
  ] as const;
  expect(withinSpans("a bcd  efghi", ranges, spans)).toEqual([false, true, true, false, false, true, false]);
});
