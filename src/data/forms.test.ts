import { describe, expect, it } from "vitest";
import { loadDataset } from "./load.js";
import type { LoadDatasetOptions } from "./load_options.js";
import type { Row } from "./row.js";

/** The forms of data sets that are about, row by row: what is read of them, and what is said. */

interface Loaded {
  rows: Row[];
  said: string[];
}

async function load(rows: readonly object[], options: LoadDatasetOptions = {}): Promise<Loaded> {
  const bytes = new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join("\n"));
  const reader = {
    size: async () => bytes.length,
    read: async (_: string, offset: number, length: number) => bytes.slice(offset, offset + length),
  };
  const said: string[] = [];
  return {
    rows: await loadDataset("a.jsonl", { reader, warn: (message) => void said.push(message), ...options }),
    said,
  };
}

const user = (content: string): object => ({ role: "user", content });
const assistant = (content: string): object => ({ role: "assistant", content });
const weather = { type: "function", function: { name: "weather", arguments: { city: "Rome" } } };

describe("prompts and what follows them", () => {
  const cases: [name: string, row: object, prompt: string, messages: object[]][] = [
    ["two columns", { prompt: "p", completion: "t" }, "p", [user("p"), assistant("t")]],
    ["a question", { question: "p", answer: "t" }, "p", [user("p"), assistant("t")]],
    [
      "Alpaca with input",
      { instruction: "p", input: "i", output: "t" },
      "p\n\ni",
      [user("p\n\ni"), assistant("t")],
    ],
    ["Alpaca without input", { instruction: "p", input: "", output: "t" }, "p", [user("p"), assistant("t")]],
    [
      "Alpaca with system and history",
      { instruction: "p", input: null, output: "t", system: "s", history: [["a", "b"]] },
      "s\n\na\n\nb\n\np",
      [{ role: "system", content: "s" }, user("a"), assistant("b"), user("p"), assistant("t")],
    ],
    [
      "history as text",
      { instruction: "p", output: "t", history: '[["a", "b"]]' },
      "a\n\nb\n\np",
      [user("a"), assistant("b"), user("p"), assistant("t")],
    ],
    ["Dolly", { instruction: "p", context: "c", response: "t" }, "p\n\nc", [user("p\n\nc"), assistant("t")]],
    ["input alone", { input: "p", output: "t" }, "p", [user("p"), assistant("t")]],
  ];
  it.each(cases)("%s", async (_name, row, prompt, messages) => {
    const { rows, said } = await load([row]);
    expect(rows).toMatchObject([{ kind: "prompt", prompt, target: "t", chat: { messages } }]);
    expect(said).toEqual([]);
  });

  it("learns the answers of a history too, and nothing of an empty target", async () => {
    const { rows } = await load([{ instruction: "p", output: "t", history: [["a", "b"]] }]);
    expect(rows).toMatchObject([{ chat: { learn: [false, true, false, true] } }]);
    const { rows: empty } = await load([{ instruction: "p", output: "" }]);
    expect(empty).toMatchObject([{ chat: { learn: [false, false] } }]);
  });

  it("takes a template to the letter, and joins plainly where raw says so", async () => {
    const row = { instruction: "p", input: "i", output: "t", tools: [{ name: "f" }] };
    const literal = await load([row], { template: "{instruction}:", target: "{output}" });
    expect(literal.rows).toEqual([{ kind: "prompt", at: "a.jsonl line 1", prompt: "p:", target: "t" }]);
    expect(literal.said).toEqual(['Not used: columns "input", "tools" of a.jsonl.']);
    const raw = await load([row], { raw: true });
    expect(raw.rows).toEqual([{ kind: "prompt", at: "a.jsonl line 1", prompt: "p\n\ni", target: "t" }]);
    expect(raw.said).toEqual(['Not used: column "tools" of a.jsonl.']);
  });

  it("reads TRL's conversational form, where only the completion is learnt", async () => {
    const prompt = [user("q"), assistant("old"), user("q2")];
    const { rows } = await load([{ prompt, completion: [assistant("new")], tools: [{ name: "f" }] }]);
    expect(rows).toEqual([
      {
        kind: "chat",
        at: "a.jsonl line 1",
        messages: [...prompt, assistant("new")],
        learn: [false, false, false, true],
        tools: [{ type: "function", function: { name: "f" } }],
      },
    ]);
    const mixed = await load([{ prompt: "q", completion: [assistant("new")] }]);
    expect(mixed.rows).toMatchObject([{ messages: [user("q"), assistant("new")], learn: [false, true] }]);
    const text = await load([{ prompt: "[1, 2]", completion: "[3]" }]);
    expect(text.rows).toMatchObject([{ prompt: "[1, 2]", target: "[3]" }]);
  });
});

describe("chats", () => {
  const messagesOf = async (row: object): Promise<unknown> => {
    const [first] = (await load([row])).rows;
    return first?.kind === "chat" ? first.messages : first;
  };
  const sharegpt = (...turns: [from: string, value: unknown][]): object => ({
    conversations: turns.map(([from, value]) => ({ from, value })),
  });

  it.each(["gpt", "chatgpt", "bing", "bard", "assistant", "model", "GPT"])(
    "%s is the assistant",
    async (from) => {
      expect(await messagesOf(sharegpt(["human", "a"], [from, "b"]))).toEqual([user("a"), assistant("b")]);
    },
  );

  it("reads calls and answers of tools in ShareGPT's words", async () => {
    const row = sharegpt(
      ["human", "a"],
      ["function_call", '{"name": "weather", "arguments": {"city": "Rome"}}'],
      ["observation", "sunny"],
      ["gpt", "b"],
    );
    const tool = { role: "tool", content: "sunny" };
    const call = { role: "assistant", content: "", tool_calls: [weather] };
    expect(await messagesOf(row)).toEqual([user("a"), call, tool, assistant("b")]);
    const [first] = (await load([{ ...row, tools: '[{"name": "weather"}]', system: "s" }])).rows;
    expect(first).toMatchObject({
      tools: [{ type: "function", function: { name: "weather" } }],
      learn: [false, false, true, false, true],
    });
  });

  it("reads OpenAI's calls, arguments as text or not, and the older form", async () => {
    const id = { id: "c1", ...weather };
    const text = { ...id, function: { name: "weather", arguments: '{"city": "Rome"}' } };
    const answer = { role: "tool", tool_call_id: "c1", content: '{"t":1}' };
    const row = (message: object): object => ({
      messages: [user("a"), { role: "assistant", content: null, ...message }, answer, assistant("b")],
    });
    const wanted = [user("a"), { role: "assistant", content: "", tool_calls: [id] }, answer, assistant("b")];
    expect(await messagesOf(row({ tool_calls: [id] }))).toEqual(wanted);
    expect(await messagesOf(row({ tool_calls: [text] }))).toEqual(wanted);
    expect(await messagesOf(row({ function_call: text.function }))).toMatchObject([
      {},
      { tool_calls: [weather] },
      {},
      {},
    ]);
    const [first] = (await load([{ ...row({ tool_calls: [id] }), functions: [{ name: "weather" }] }])).rows;
    expect(first).toMatchObject({ tools: [{ type: "function", function: { name: "weather" } }] });
  });

  it("joins parts that are text, and refuses others", async () => {
    const parts = [
      { type: "text", text: "a" },
      { type: "text", text: "b" },
    ];
    expect(await messagesOf({ messages: [{ role: "user", content: parts }, assistant("c")] })).toEqual([
      user("ab"),
      assistant("c"),
    ]);
    const image = { role: "user", content: [{ type: "image" }, ...parts] };
    await expect(load([{ messages: [image, assistant("c")] }])).rejects.toThrow(
      'message 1 has a part of type "image": only text can be learnt',
    );
  });

  it.each([
    [{ weight: 0 }, false],
    [{ weight: 1 }, true],
    [{ train: false }, false],
    [{ training: true }, true],
    [{ weight: null }, true],
    [{}, true],
  ])("%j: learnt %s", async (mark, learnt) => {
    const { rows } = await load([{ messages: [user("a"), { ...assistant("b"), ...mark }] }]);
    expect(rows).toMatchObject([{ messages: [user("a"), assistant("b")], learn: [false, learnt] }]);
  });

  it("learns what the user says where train says so, and refuses half a weight", async () => {
    const { rows } = await load([{ messages: [{ ...user("a"), train: true }, assistant("b")] }]);
    expect(rows).toMatchObject([{ learn: [true, true] }]);
    await expect(load([{ messages: [user("a"), { ...assistant("b"), weight: 0.5 }] }])).rejects.toThrow(
      "message 2 has weight 0.5",
    );
  });

  it("puts a system column first, and refuses two that differ", async () => {
    const system = { role: "system", content: "s" };
    const turns = [user("a"), assistant("b")];
    expect(await messagesOf({ messages: turns, system: "s" })).toEqual([system, ...turns]);
    expect(await messagesOf({ messages: turns, system: "" })).toEqual(turns);
    expect(await messagesOf({ messages: [system, ...turns], system: "s" })).toEqual([system, ...turns]);
    await expect(load([{ messages: [system, ...turns], system: "other" }])).rejects.toThrow(
      "system says one thing",
    );
  });
});

describe("what is said", () => {
  it("columns that are not used, once for all files, ten of them by name", async () => {
    const row = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`c${i}`, i]));
    const { said } = await load(
      [
        { text: "a", ...row },
        { text: "b", label: 1, late: 2 },
      ],
      { kind: "text" },
    );
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^Not used: columns "c0", .*"c9" and 4 more of a.jsonl.$/);
  });

  it("words that may stand for a missing value", async () => {
    const { said } = await load([
      { text: "a", label: "NA" },
      { text: "b", label: "None" },
      { text: "c", label: "x" },
    ]);
    expect(said).toEqual(['Taken as classes, not as missing: "NA", "None".']);
    const targets = await load([
      { prompt: "a", completion: "x" },
      { prompt: "b", completion: "nan" },
    ]);
    expect(targets.said).toEqual(["1 target that may stand for a missing value, first at a.jsonl line 2."]);
  });

  it.each([["NaN"], ["NA"], ["None"], ["null"]])("%s among ids and numbers is refused", async (word) => {
    const says = `the label "${word}" is`;
    await expect(
      load([
        { text: "a", label: 1 },
        { text: "b", label: word },
      ]),
    ).rejects.toThrow(says);
    await expect(
      load([
        { text: "a", label: 1.5 },
        { text: "b", label: word },
      ]),
    ).rejects.toThrow(says);
  });
});

describe("numbers in rows", () => {
  it("keep their digits and their points", async () => {
    const file =
      '{"prompt": 12345678901234567890, "completion": 1.0}\n{"prompt": [1.0, 2], "completion": 1e5}';
    const bytes = new TextEncoder().encode(file);
    const reader = { size: async () => bytes.length, read: async () => bytes };
    const rows = await loadDataset("a.jsonl", { reader, template: "{prompt}:", target: "{completion}!" });
    expect(rows).toMatchObject([
      { prompt: "12345678901234567890:", target: "1.0!" },
      { prompt: "[1.0, 2]:", target: "100000.0!" },
    ]);
  });

  it("make no room by themselves: ids end, and marks are counted", async () => {
    const ids = load([
      { text: "a", label: 0 },
      { text: "b", label: 1_000_000_000 },
    ]);
    await expect(ids).rejects.toThrow(
      "a.jsonl line 2: the label 1000000000 is no class id, which end at 99999",
    );
    const sets = load([{ text: "a", label: [2 ** 31] }]);
    await expect(sets).rejects.toThrow("the label 2147483648 is no class id");
    const many = Array.from({ length: 1001 }, () => ({ text: "a", label: [99_999] }));
    await expect(load(many)).rejects.toThrow("1001 rows with marks for 100000 classes");
    const tags = load([{ tokens: ["a", "b"], ner_tags: [0, 1e300] }]);
    await expect(tags).rejects.toThrow("the label 1e+300 is no class id");
  });

  it("-100 is not learnt and no class", async () => {
    const { rows } = await load([
      { text: "a", label: 0 },
      { text: "b", label: -100 },
      { text: "c", label: 2 },
    ]);
    expect(rows.map((row) => row.kind === "classify" && row.labels)).toEqual([[0], [-100], [2]]);
  });

  it.each([
    [{ text: "a", label: { toString: 1 } }, 'the label {"toString": 1} is no name and no number'],
    [{ tokens: ["a", { toString: 1 }], tags: [0, 1] }, 'the word {"toString": 1} is not text'],
    [
      { question: "q", context: "c", answers: { text: ["c"], answer_start: [{ toString: 2 }] } },
      'does not stand at character {"toString": 2}',
    ],
  ])("%j is refused by name", async (row, says) => {
    await expect(load([row])).rejects.toThrow(says);
  });
});
