import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { ChatMessage } from "./chat.js";
import { applyTemplate } from "./chat.js";
import { tokenizerFromFiles } from "./files.js";
import { strftime } from "./strftime.js";
import { compileTemplate } from "./template.js";
import type { Tokenizer } from "./tokenizer.js";

const chatml =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const chat: ChatMessage[] = [
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello 😀\nyou" },
  { role: "user", content: "Hello 😀\nyou" },
  { role: "assistant", content: "Bye" },
];

function load(files: Record<string, unknown>): Promise<Tokenizer> {
  return tokenizerFromFiles(async (name) => {
    const file = files[name];
    if (file !== undefined) return typeof file === "string" ? file : JSON.stringify(file);
    return readFile(`tests/kit/tokenizers/byte-bpe/${name}`, "utf8").catch(() => undefined);
  });
}

/** The stretches of a chat that the assistant writes. */
function written(template: string, messages: ChatMessage[], options: object = {}): string[] {
  const tokens = { bos_token: "<s>", eos_token: "</s>" };
  const { text, assistant } = applyTemplate(
    new Map([["default", { text: template, where: "here" }]]),
    messages,
    tokens,
    {
      returnAssistantMask: true,
      ...options,
    },
  );
  return assistant.map(([from, to]) => text.slice(from, to));
}

describe("what the assistant writes", () => {
  it("is found turn by turn, with the end of the turn and without the line after it", () => {
    expect(written(chatml, chat)).toEqual(["Hello 😀\nyou<|im_end|>", "Bye<|im_end|>"]);
  });

  it("does not begin before the header where a chat begins with the assistant", () => {
    expect(written(chatml, chat.slice(1))).toEqual(["Hello 😀\nyou<|im_end|>", "Bye<|im_end|>"]);
  });

  it("is found in templates with other ends and trimmed content", () => {
    const zephyr =
      "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content|trim + eos_token + '\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}";
    const padded = [chat[0]!, { role: "assistant", content: "  Bye  " }];
    expect(written(zephyr, padded)).toEqual(["Bye</s>"]);
    const mistral =
      "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}" +
      "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}";
    expect(written(mistral, chat)).toEqual(["Hello 😀\nyou</s>", "Bye</s>"]);
  });

  it("is what stands between the marks, where a template has them", () => {
    const marked =
      "{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}{{ m.content }}!{% endgeneration %}\n" +
      "{% else %}{{ m.content }}\n{% endif %}{% endfor %}";
    expect(written(marked, chat)).toEqual(["Hello 😀\nyou!", "Bye!"]);
  });

  it("takes as many renderings for a long chat as for a short one", () => {
    const tokens = { bos_token: "<s>", eos_token: "</s>" };
    const renderings = (turns: number): number => {
      const long = Array.from({ length: turns }, () => chat.slice(0, 2)).flat();
      let count = 0;
      const { assistant } = applyTemplate(
        new Map([["default", { text: chatml, where: "here" }]]),
        long,
        tokens,
        { returnAssistantMask: true },
        (source) => {
          const { render, ...template } = compileTemplate(source);
          const counted: typeof render = (...given) => {
            count += 1;
            return render(...given);
          };
          return { ...template, render: counted };
        },
      );
      expect(assistant).toHaveLength(turns);
      return count;
    };
    expect(renderings(200)).toBe(renderings(3));
  });

  it("is refused where the template rewrites earlier turns", () => {
    const rewriting =
      "{% for m in messages %}{% if m.role == 'user' or loop.last %}{{ m.content }}{% else %}...{% endif %}{% endfor %}";
    expect(() => written(rewriting, chat)).toThrow(
      /assistant's turns cannot be found.*message 2 in a place of its own.*generation/,
    );
  });

  it("is masked token by token", async () => {
    const tokenizer = await load({ "chat_template.jinja": chatml });
    const { inputIds, assistantMask, offsets } = tokenizer.applyChatTemplate(chat, {
      returnAssistantMask: true,
    });
    const learnt = inputIds[0]!.filter((_, i) => assistantMask![0]![i] === 1);
    expect(tokenizer.decode(learnt)).toBe("Hello 😀\nyou<|im_end|>Bye<|im_end|>");
    expect(offsets).toBeUndefined();
  });
});

describe("templates", () => {
  const named = [
    { name: "default", template: "plain" },
    { name: "tool_use", template: "tools" },
  ];

  it.each([
    ["a string", { "tokenizer_config.json": { chat_template: "one" } }, {}, "one"],
    ["a list", { "tokenizer_config.json": { chat_template: named } }, {}, "plain"],
    ["a list, with tools", { "tokenizer_config.json": { chat_template: named } }, { tools: [] }, "tools"],
    [
      "a list, by name",
      { "tokenizer_config.json": { chat_template: named } },
      { chatTemplate: "tool_use" },
      "tools",
    ],
    ["chat_template.json", { "chat_template.json": { chat_template: "two" } }, {}, "two"],
    [
      "chat_template.jinja first",
      { "chat_template.jinja": "three", "tokenizer_config.json": { chat_template: "one" } },
      {},
      "three",
    ],
    ["one of the user's", {}, { chatTemplate: "{{ messages[0].content }}" }, "Hi"],
  ])("come from %s", async (_name, files, options, text) => {
    const tokenizer = await load(files);
    expect(tokenizer.applyChatTemplate(chat, { ...options, tokenize: false })).toBe(text);
  });

  it("see special tokens, tools, their own variables and the date", async () => {
    const tokenizer = await load({});
    const chatTemplate =
      "{{ eos_token }} {{ 'no' if tools is none }} tools {{ thinking }} {{ strftime_now('%d %b %Y') }} {% for i in range(2) %}{{ i }}{% endfor %}";
    const options = {
      chatTemplate,
      variables: { thinking: "yes" },
      now: new Date(2024, 6, 9),
      tokenize: false,
    } as const;
    expect(tokenizer.applyChatTemplate(chat, options)).toBe("</s> no tools yes 09 Jul 2024 01");
  });

  it("see null as None, as in Python", async () => {
    const tokenizer = await load({});
    const chatTemplate = "{{ 'content' in messages[0] }} {{ messages[0].content }}";
    const messages = [{ role: "assistant", content: null }];
    expect(tokenizer.applyChatTemplate(messages, { chatTemplate, tokenize: false })).toBe("True None");
  });

  it("that are missing, broken or strict are errors that say so", async () => {
    const tokenizer = await load({});
    expect(() => tokenizer.applyChatTemplate(chat)).toThrow(/no default chat template/);
    expect(() => tokenizer.applyChatTemplate([])).toThrow(/chat is empty/);
    expect(() => tokenizer.applyChatTemplate(chat, { chatTemplate: "{% if %}" })).toThrow(/does not compile/);
    const strict = "{{ raise_exception('Roles must alternate') }}";
    expect(() => tokenizer.applyChatTemplate(chat, { chatTemplate: strict })).toThrow(/Roles must alternate/);
  });

  it("print dates as Python does", () => {
    const date = new Date(2024, 2, 5, 15, 4, 9);
    expect(strftime(date, "%A %a %B %b %d %m %Y %y %H:%M:%S %I %p %% %Q")).toBe(
      "Tuesday Tue March Mar 05 03 2024 24 15:04:09 03 PM % %Q",
    );
  });
});
