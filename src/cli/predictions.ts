import type {
  DocumentInput,
  Entity,
  LabelScore,
  QuestionInput,
  SpanAnswer,
  TextInput,
  Transcription,
} from "../index.js";

/** What is asked about: a text, a question, a page, or a clip that is named by its file. */
export type Input = TextInput | QuestionInput | DocumentInput | ClipInput;

export interface ClipInput {
  readonly file: string;
}

/** How predictions are printed. */
export type PredictionForm = "text" | "json" | "jsonl" | "csv";

/** What is printed for each row, and after the last one. */
export interface PredictionWriter {
  row(input: Input, output: Output): string;
  end(): string;
}

type Item = LabelScore | Entity | SpanAnswer;

/** What a pipeline says of a row, texts apart. */
export type Output = Float32Array | readonly Item[] | Transcription;

/** Writes predictions one by one, so that none needs to be kept. */
export function writerOf(form: PredictionForm): PredictionWriter {
  let rows = 0;
  const forms: Readonly<Record<PredictionForm, PredictionWriter>> = {
    text: { row: (_, output) => `${inWords(output)}\n`, end: () => "" },
    jsonl: { row: (input, output) => `${inJson(input, output)}\n`, end: () => "" },
    json: {
      row: (input, output) => `${rows++ === 0 ? "[" : ","}\n${inJson(input, output)}`,
      end: () => `${rows === 0 ? "[" : "\n"}]\n`,
    },
    csv: {
      row: (_, output) => {
        rows++;
        return inTable(output, rows)
          .map((cells) => `${cells.map(cell).join(",")}\n`)
          .join("");
      },
      end: () => "",
    },
  };
  return forms[form];
}

function inJson(input: Input, output: Output): string {
  const asked = typeof input === "string" ? { text: input } : input;
  if (isTranscription(output)) return JSON.stringify({ ...asked, ...output });
  return JSON.stringify({ ...asked, [keyOf(output)]: output instanceof Float32Array ? [...output] : output });
}

function isTranscription(output: Output): output is Transcription {
  return "text" in output;
}

function keyOf(output: Exclude<Output, Transcription>): string {
  if (output instanceof Float32Array) return "vector";
  const [first] = output;
  if (first === undefined) return "entities";
  return "answer" in first ? "answers" : "start" in first ? "entities" : "labels";
}

function inWords(output: Output): string {
  if (isTranscription(output))
    return (output.chunks ?? []).map(chunkInWords).join("\n") || output.text.trim();
  if (output instanceof Float32Array) return [...output].join(" ");
  return output.map(itemInWords).join(", ") || "-";
}

/** "[00:03.20 - 00:05.00] what was said" */
function chunkInWords({ text, timestamp }: NonNullable<Transcription["chunks"]>[number]): string {
  const clock = (seconds: number): string =>
    `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
  return `[${timestamp.map(clock).join(" - ")}] ${text.trim()}`;
}

function itemInWords(item: Item): string {
  const score = item.score.toFixed(4);
  if ("answer" in item) return `${item.answer || "(no answer)"} ${score}`;
  const box = "box" in item && item.box !== undefined ? ` [${item.box.join(" ")}]` : "";
  return "start" in item ? `${item.label}: ${item.text} ${score}${box}` : `${item.label} ${score}`;
}

/** A line for each item, with the number of its row; the first row brings the header. */
function inTable(output: Output, row: number): (string | number)[][] {
  if (isTranscription(output)) {
    const header = row === 1 ? [["row", "start", "end", "text"]] : [];
    const chunks = output.chunks ?? [{ text: output.text, timestamp: ["", ""] as const }];
    return [...header, ...chunks.map(({ text, timestamp }) => [row, ...timestamp, text.trim()])];
  }
  if (output instanceof Float32Array) {
    const header = row === 1 ? [["row", ...Array.from(output, (_, i) => `v${i}`)]] : [];
    return [...header, [row, ...output]];
  }
  const header = row === 1 ? [["row", "label", "score", "start", "end", "text"]] : [];
  const lines = output.map((item): (string | number)[] => {
    if ("answer" in item) return [row, "answer", item.score, item.start, item.end, item.answer];
    return "start" in item
      ? [row, item.label, item.score, item.start, item.end, item.text]
      : [row, item.label, item.score, "", "", ""];
  });
  return [...header, ...lines];
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
