import { readTextFile } from "../data/load.js";
import {
  type ChatMessage,
  type GenerateSettings,
  loadDataset,
  PeftError,
  type PeftModel,
  streamText,
  type Tokenizer,
} from "../index.js";
import { generationGroup, generationSettings } from "./generation_options.js";
import { adapterOption, engineGroup, modelGroup, type Opened, openModel } from "./model.js";
import type { Settings, Verb } from "./options.js";
import { encodingOption } from "./rows.js";
import { wasChat } from "./run_record.js";
import { shippedModel } from "./shipped.js";
import { type Terminal, warn } from "./terminal.js";

/** `peft generate` */
export const generate: Verb = {
  name: "generate",
  summary: "Let a model answer: one prompt, a file of them, or a chat on the terminal.",
  examples: [
    'peft generate --adapter out --prompt "Tweet text : my parcel is lost Label : "',
    "peft generate --model HuggingFaceTB/SmolLM2-135M-Instruct",
    "peft generate --adapter out --prompts questions.txt --jsonl > answers.jsonl",
    'echo "Hello" | peft generate --model gpt2 --max-new-tokens 30 --do-sample --temperature 0.8',
  ],
  groups: () => [
    modelGroup("the adapter's own base", adapterOption),
    {
      title: "Prompts (none, on a terminal: a chat)",
      options: [
        { key: "prompt", kind: "text", many: true, help: "may be given more than once" },
        {
          key: "prompts",
          kind: "text",
          value: "FILE",
          help: "one a line; or JSONL, JSON, CSV, Parquet with a column `prompt` (or --template)",
        },
        encodingOption,
        { key: "template", kind: "text", help: 'a prompt out of columns: "Tweet : {text} Label : "' },
        {
          key: "chat",
          kind: "flag",
          help: "put each prompt into the model's chat template, whatever the adapter learnt from",
        },
        { key: "raw", kind: "flag", help: "take prompts as they are, without the chat template" },
        { key: "system", kind: "text", help: "what a chat begins with" },
        {
          key: "columns",
          kind: "map",
          value: "NAME=N,...",
          help: "numbers that the adapter's method reads of each prompt: task_ids=1",
        },
        { key: "batchSize", kind: "whole", help: "prompts at a time", byDefault: 8 },
      ],
    },
    {
      title: "Output",
      options: [
        { key: "jsonl", kind: "flag", help: "print { prompt, output } a line" },
        { key: "json", kind: "flag", help: "print one list of { prompt, output }" },
        { key: "seed", kind: "whole", help: "of sampling", byDefault: 0 },
      ],
    },
    generationGroup("Generation"),
    engineGroup,
  ],
  run,
};

interface Talk {
  readonly model: Opened["base"] | PeftModel;
  readonly tokenizer: Tokenizer;
  readonly generation: GenerateSettings;
  /** Whether the model's chat template writes what is asked. */
  readonly isChat: boolean;
  /** What the adapter's method reads of every prompt, by name. */
  readonly columns: Readonly<Record<string, number>>;
}

async function run(given: Settings, terminal: Terminal): Promise<number> {
  const isNamed = given.isGiven("model") || given.isGiven("adapter");
  const settings = isNamed ? given : given.over({ model: await shippedModel(terminal) });
  const prompts = await readPrompts(settings, terminal);
  if (prompts.length === 0 && !terminal.hearsPerson) throw noPrompt();
  const { base, adapted, tokenizer } = await openModel(settings, terminal);
  try {
    const talk: Talk = {
      model: adapted ?? base,
      tokenizer,
      generation: settingsOf(settings, { base, tokenizer }, terminal),
      isChat: await asksInChats(settings, tokenizer, terminal),
      columns: numbersIn(settings),
    };
    if (prompts.length === 0) await chat(talk, settings, terminal);
    else await answer(talk, prompts, settings, terminal);
    return 0;
  } finally {
    await base.close();
  }
}

/**
 * Models with a chat template are asked through it; an adapter that a run of ours taught otherwise is asked
 * as it was taught, and a template for columns is taken to the letter.
 */
async function asksInChats(settings: Settings, tokenizer: Tokenizer, terminal: Terminal): Promise<boolean> {
  if (settings.flag("raw") || settings.flag("chat")) return settings.flag("chat");
  if (tokenizer.chatTemplate === undefined || settings.isGiven("template")) return false;
  const adapter = settings.text("adapter");
  const learnt = adapter === undefined ? undefined : await wasChat(adapter, terminal);
  if (learnt === false) return false;
  terminal.note("Prompts go through the chat template; --raw takes them as they are.");
  return true;
}

async function readPrompts(settings: Settings, terminal: Terminal): Promise<readonly string[]> {
  const said = settings.list("prompt");
  const file = settings.text("prompts");
  const encoding = settings.text("encoding");
  if (file === undefined) return said.length > 0 ? said : lines(await terminal.readInput());
  if (!/\.(jsonl|json|csv|tsv|parquet)$/i.test(file))
    return [...said, ...lines(await readTextFile(file, encoding))];
  const template = settings.text("template") ?? "{prompt}";
  const rows = await loadDataset(file, {
    ...{ template, kind: "text", warn: (message) => warn(terminal, message) },
    ...(encoding === undefined ? {} : { encoding }),
  });
  return [...said, ...rows.map((row) => (row.kind === "text" ? row.text : ""))];
}

const lines = (text: string): string[] => text.split(/\r?\n/).filter((line) => line.trim() !== "");

/** What is said, and the special tokens that the model's own files leave open. */
function settingsOf(
  settings: Settings,
  { base, tokenizer }: Pick<Opened, "base" | "tokenizer">,
  terminal: Terminal,
): GenerateSettings {
  const { padTokenId, eosTokenId } = base.generationConfig;
  return {
    ...(padTokenId === undefined && tokenizer.padTokenId !== undefined
      ? { padTokenId: tokenizer.padTokenId }
      : {}),
    ...(eosTokenId === undefined && tokenizer.eosTokenId !== undefined
      ? { eosTokenId: tokenizer.eosTokenId }
      : {}),
    ...generationSettings(settings),
    tokenizer,
    seed: settings.number("seed"),
    warn: (message) => warn(terminal, message.shown(settings.show)),
  };
}

async function answer(
  talk: Talk,
  prompts: readonly string[],
  settings: Settings,
  terminal: Terminal,
): Promise<void> {
  const size = settings.number("batchSize")!;
  const texts = talk.isChat
    ? prompts.map((prompt) => chatText(talk.tokenizer, [...opening(settings), user(prompt)]))
    : prompts;
  const isData = settings.flag("jsonl") || settings.flag("json");
  const streams = prompts.length === 1 && terminal.showsToPerson && !isData && canStream(talk);
  const said: { readonly prompt: string; readonly output: string }[] = [];
  await terminal.interruptible(
    () => terminal.note("\nStopping."),
    async (signal) => {
      if (streams) {
        await stream(talk, texts[0]!, terminal, signal);
        return;
      }
      for (let i = 0; i < texts.length; i += size) {
        const outputs = await generateBatch(talk, texts.slice(i, i + size), signal);
        const each = outputs.length / Math.min(size, texts.length - i);
        for (const [k, output] of outputs.entries()) {
          const prompt = prompts[i + Math.floor(k / each)]!;
          if (settings.flag("json")) said.push({ prompt, output });
          else terminal.print(settings.flag("jsonl") ? JSON.stringify({ prompt, output }) : output);
        }
      }
      if (settings.flag("json")) terminal.print(JSON.stringify(said));
    },
  );
}

function canStream({ generation }: Talk): boolean {
  return (generation.numBeams ?? 1) === 1 && (generation.numReturnSequences ?? 1) === 1;
}

/** Numbers by name, as a flag has them. */
function numbersIn(settings: Settings): Record<string, number> {
  const entries = Object.entries(Object(settings.get("columns")));
  return Object.fromEntries(entries.map(([name, value]) => [name, Number(value)]));
}

/** The same numbers for each of so many rows. */
function everyRow(columns: Talk["columns"], rows: number): Record<string, number[]> {
  const entries = Object.entries(columns);
  return Object.fromEntries(entries.map(([name, value]) => [name, new Array<number>(rows).fill(value)]));
}

/** Texts in, what follows them out. */
async function generateBatch(
  { model, tokenizer, generation, isChat, columns }: Talk,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const isDecoder = !model.config.encoderDecoder;
  const input = tokenizer(texts, {
    padding: true,
    paddingSide: isDecoder ? "left" : "right",
    addSpecialTokens: !isChat,
  });
  const asked = { ...input, columns: everyRow(columns, texts.length) };
  const rows = await model.generate(asked, { ...generation, signal });
  const start = isDecoder ? input.inputIds[0]!.length : 0;
  return rows.map((row) => tokenizer.decode(row.slice(start), { skipSpecialTokens: true }));
}

/** Prints an answer while it is made, and returns it. */
async function stream(
  { model, tokenizer, generation, isChat, columns }: Talk,
  text: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<string> {
  const encoded = tokenizer(text, { addSpecialTokens: !isChat });
  const input = { ...encoded, columns: everyRow(columns, 1) };
  let whole = "";
  const pieces = streamText(tokenizer, (streamer, left) =>
    model.generate(input, { ...generation, streamer, signal: AbortSignal.any([signal, left]) }),
  );
  try {
    for await (const piece of pieces) {
      whole += piece;
      terminal.write(piece);
    }
  } catch (error) {
    if (!(error instanceof PeftError && error.code === "aborted")) throw error;
  }
  terminal.write("\n");
  return whole;
}

const user = (content: string): ChatMessage => ({ role: "user", content });

function opening(settings: Settings): ChatMessage[] {
  const system = settings.text("system");
  return system === undefined ? [] : [{ role: "system", content: system }];
}

function chatText(tokenizer: Tokenizer, messages: readonly ChatMessage[]): string {
  return tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true, tokenize: false });
}

/**
 * Turn by turn, with all that was said before where the model has a template for chats; else line by line.
 */
async function chat(talk: Talk, settings: Settings, terminal: Terminal): Promise<void> {
  const { isChat } = talk;
  const generation = { maxNewTokens: 256, ...talk.generation };
  const messages = opening(settings);
  terminal.note(
    isChat ? "A chat. Ctrl-C stops an answer, Ctrl-D ends it." : "Type a prompt; Ctrl-D ends it.",
  );
  for await (const line of terminal.ask("> ")) {
    if (line.trim() === "") continue;
    messages.push(user(line));
    const text = isChat ? chatText(talk.tokenizer, messages) : line;
    const content = await terminal.interruptible(
      () => terminal.note(""),
      (signal) => stream({ ...talk, generation }, text, terminal, signal),
    );
    messages.push({ role: "assistant", content });
  }
}

function noPrompt(): PeftError {
  return new PeftError("option", {
    what: "There is no prompt.",
    why: "nothing is given, nothing is piped in, and this is no terminal for a chat.",
    fix: 'add --prompt "...", or --prompts FILE.',
  });
}
