import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { PeftError } from "../../errors.js";
import type { ChatMessage, ChatOptions } from "../chat.js";
import { applyTemplate } from "../chat.js";

type Chat = [
  title: string,
  messages: ChatMessage[],
  options: { prompt?: boolean; tools?: object[]; documents?: object[]; variables?: object },
];
type Row = [hash: string, spans: number[][]] | null;
type Golden = {
  tokens: { [name: string]: string };
  chats: Chat[];
  templates: { [name: string]: { template: string; rows: Row[] } };
};

const golden: Golden = JSON.parse(
  gunzipSync(readFileSync("tests/golden/chat_templates.json.gz")).toString("utf8"),
);

/**
 * What a template makes of a chat: the hash of its text and what the assistant writes, null where it refuses.
 */
function made(template: string, [, messages, { prompt, ...rest }]: Chat): Row {
  const marks = /\{%-?\s*generation/.test(template);
  const options = { ...rest, addGenerationPrompt: prompt ?? false, returnAssistantMask: marks };
  const named = new Map([["default", { text: template, where: "chat_template.jinja" }]]);
  const now = new Date(2024, 2, 5, 14, 7, 9);
  try {
    const { text, assistant } = applyTemplate(named, messages, golden.tokens, {
      ...options,
      now,
    } as ChatOptions);
    return [createHash("sha256").update(text).digest("hex").slice(0, 16), assistant.map((span) => [...span])];
  } catch (error) {
    if (error instanceof PeftError && error.code === "tokenizer") return null;
    throw error;
  }
}

describe("templates of model families write what transformers' do", () => {
  it.each(Object.entries(golden.templates))("%s", (_name, { template, rows }) => {
    const got = golden.chats.map((chat) => [chat[0], made(template, chat)]);
    expect(got).toEqual(rows.map((row, i) => [golden.chats[i]?.[0], row]));
  });
});
