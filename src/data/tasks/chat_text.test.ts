import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { tokenizerFromFiles } from "../../tokenizers/files.js";
import type { Tokenizer } from "../../tokenizers/tokenizer.js";
import { encodeRows } from "../encode.js";
import { preview } from "../preview.js";
import type { Conversation, Row } from "../row.js";
import { parseJson } from "../tables/values.js";

function open(chatTemplate: string): Promise<Tokenizer> {
  return tokenizerFromFiles(async (file) => {
    if (file === "chat_template.jinja") return chatTemplate;
    const path = new URL(`../../../tests/kit/tokenizers/byte-bpe/${file}`, import.meta.url);
    return readFile(path, "utf8").catch(() => undefined);
  });
}

/** Writes role and content, as SmolLM2's does. */
const plain = await open("{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}");
/** Writes tools and calls, in place of what is said, as Llama's does. */
const withTools = await open(
  "{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}" +
    "{% for m in messages %}<{{ m.role }}>{% if m.tool_calls %}{% for c in m.tool_calls %}" +
    "{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}" +
    "{% else %}{{ m.content }}{% endif %}</{{ m.role }}>{% endfor %}",
);

const call = { type: "function", function: { name: "weather", arguments: { city: "Rome" } } };
const chat: Conversation = {
  messages: [
    { role: "user", content: "a" },
    { role: "assistant", content: "", tool_calls: [call] },
    { role: "tool", content: "hot", name: "weather" },
    { role: "assistant", content: "b" },
  ],
  tools: [{ type: "function", function: { name: "weather" } }],
};

function learn(row: Row, tokenizer: Tokenizer): { text: string; notes: readonly string[]; chats: number } {
  const { samples, report } = encodeRows([row], { tokenizer, task: "CAUSAL_LM" });
  return { text: preview(samples, tokenizer)[0]!, notes: report.notes, chats: report.chats };
}
const row = (more: Partial<Conversation> = {}): Row => ({ kind: "chat", at: "row 1", ...chat, ...more });

describe("calls of tools", () => {
  it("are learnt as the template writes them", () => {
    const { text, notes } = learn(row(), withTools);
    expect(text).toContain('<assistant>[weather({"city": "Rome"})</assistant>]<tool>hot</tool>');
    expect(text).toContain('<tools>[{"type": "function", "function": {"name": "weather"}}]</tools>');
    expect(text.endsWith("<assistant>[b</assistant>]")).toBe(true);
    expect(notes).toEqual(['The chat template does not write "name" of messages.']);
  });

  it("are learnt as text where the template writes none, and that is said", () => {
    const { text, notes } = learn(row(), plain);
    expect(text).toContain('<assistant>[{"name": "weather", "arguments": {"city": "Rome"}}</assistant>]');
    expect(notes).toEqual([
      'The chat template writes no tool calls: they are learnt as text, {"name": ..., "arguments": ...}.',
      "The chat template does not write the tools.",
      'The chat template does not write "name" of messages.',
    ]);
  });
});

it("prints numbers of calls as Python does", () => {
  const days = parseJson("[1.0, 12345678901234567890, 2, 1e-7]", "it");
  const asked = { type: "function", function: { name: "f", arguments: { days } } };
  const messages = [{ role: "assistant", content: "", tool_calls: [asked] }];
  const written = '{"days": [1.0, 12345678901234567890, 2, 1e-07]}';
  expect(learn(row({ messages }), withTools).text).toContain(`[f(${written})`);
  expect(learn(row({ messages }), plain).text).toContain(`"arguments": ${written}}`);
});

describe("what is learnt of a chat", () => {
  it("is what learn marks, whatever its role", () => {
    expect(learn(row({ learn: [true, false, false, false] }), plain).text).toMatch(
      /^<user>\[a<\/user>\]<assistant>\{/,
    );
  });

  it("is what learn marks, where the template marks generations too", async () => {
    const marked = await open(
      "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}." +
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    );
    const messages = [
      { role: "assistant", content: "bad" },
      { role: "user", content: "a" },
      { role: "assistant", content: "good" },
    ];
    const said = (learn_: boolean[]): string =>
      learn({ kind: "chat", at: "row 1", messages, learn: learn_ }, marked).text;
    expect(said([true, false, true])).toBe("<assistant>[bad.]<user>a<assistant>[good.]");
    expect(said([false, false, true])).toBe("<assistant>bad.<user>a<assistant>[good.]");
  });

  it("refuses a role that the template does not name, and says which row a template refuses", async () => {
    const strange = [{ role: "narrator", content: "x" }, ...chat.messages];
    expect(() => learn(row({ messages: strange }), plain)).toThrow('row 1: the role "narrator": known are');
    const named = await open(
      "{% for m in messages %}{% if m.role == 'narrator' %}*{% elif m.role == 'system' %}" +
        "{{ raise_exception('no system') }}{% endif %}{{ m.content }};{% endfor %}",
    );
    const last = { role: "assistant", content: "b" };
    expect(learn(row({ messages: [strange[0]!, last] }), named).text).toBe("*x;[b;]");
    const system = [{ role: "system", content: "s" }, last];
    expect(() => learn(row({ messages: system }), named)).toThrow(/row 1: .*no system/);
  });

  it("says where words are left out", async () => {
    const deaf = await open("{% for m in messages if m.role != 'system' %}{{ m.content }};{% endfor %}");
    const messages = [
      { role: "system", content: "hush" },
      { role: "assistant", content: "b" },
    ];
    expect(learn(row({ messages }), deaf).notes).toContain(
      "The chat template leaves out words of role system.",
    );
  });
});

describe("prompts on a model with a chat template", () => {
  const messages = [
    { role: "user", content: "p" },
    { role: "assistant", content: "t" },
  ];
  const prompt: Row = { kind: "prompt", at: "row 1", prompt: "p", target: "t" };

  it("are learnt as chats where their form was not given", () => {
    expect(learn({ ...prompt, chat: { messages } }, plain)).toMatchObject({
      text: "<user>p</user><assistant>[t</assistant>]",
      chats: 1,
    });
    expect(learn(prompt, plain)).toMatchObject({ text: "p[t</s>]", chats: 0 });
  });

  it("are joined plainly by a model without one; tools are then said", async () => {
    const bare = await tokenizerFromFiles(async (file) =>
      readFile(new URL(`../../../tests/kit/tokenizers/byte-bpe/${file}`, import.meta.url), "utf8").catch(
        () => undefined,
      ),
    );
    const { text, notes } = learn({ ...prompt, chat: { messages, tools: chat.tools! } }, bare);
    expect(text).toBe("p[t</s>]");
    expect(notes).toEqual(["Without a chat template the tools are not written."]);
  });
});
