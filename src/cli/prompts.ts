import { loadDataset, PeftError, type PromptRowLike, type PromptText } from "../index.js";
import { showHub } from "./model.js";
import type { Settings } from "./options.js";
import { dataFiles } from "./rows.js";
import type { Terminal } from "./terminal.js";

type Values = Readonly<Record<string, unknown>>;

const usualNames = ["prompt", "messages", "question", "query", "instruction", "text"];

/** Prompts of the data files, with all their columns, which rewards get. Throws "data", "option". */
export async function readPrompts(settings: Settings, terminal: Terminal): Promise<PromptRowLike[]> {
  const seen: Values[] = [];
  const template = settings.text("template");
  const rows = await loadDataset(dataFiles(settings), {
    ...settings.pick(["template", "format", "split", "limit", "encoding"]),
    kind: "text",
    columns: (row) => {
      seen.push(row);
      return template === undefined ? { text: "a prompt" } : row;
    },
    warn: () => {},
    hub: { progress: showHub(terminal) },
  });
  return rows.map((row, i) => {
    const values = seen[i] ?? {};
    if (template !== undefined && row.kind === "text") return { ...values, prompt: row.text };
    return { ...values, prompt: promptOf(values, settings.text("column"), row.at) };
  });
}

function promptOf(values: Values, column: string | undefined, place: string): PromptText {
  const name = column ?? usualNames.find((one) => one in values);
  const value = name === undefined ? undefined : values[name];
  if (typeof value === "string" || isTurns(value)) return typeof value === "string" ? value : asked(value);
  throw new PeftError("data", {
    what: `${place} has no prompt${name === undefined ? "" : ` in the column "${name}"`}.`,
    why:
      value === undefined
        ? `its columns are ${Object.keys(values).join(", ")}.`
        : `it is ${JSON.stringify(value).slice(0, 60)}, and a prompt is a text, or messages with role and content.`,
    fix: `name its column (--column ${Object.keys(values)[0] ?? "COLUMN"}), or write it of several: --template "{question} =".`,
  });
}

type Turns = Exclude<PromptText, string>;

function isTurns(value: unknown): value is Turns {
  const isTurn = (turn: unknown): boolean => {
    const { role, content } = Object(turn);
    return typeof role === "string" && typeof content === "string";
  };
  return Array.isArray(value) && value.length > 0 && value.every(isTurn);
}

/** A chat up to the answer that it ends with: the model writes another one. */
function asked(turns: Turns): Turns {
  return turns.at(-1)?.role === "assistant" ? turns.slice(0, -1) : turns;
}
