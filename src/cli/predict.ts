import {
  type CallOptions,
  type DocumentInput,
  FORMAT_NAMES,
  type ImageSource,
  inspectAdapter,
  loadDataset,
  PeftError,
  type PipelineName,
  pipeline,
  pipelineOf,
  type QuestionInput,
  type Row,
  type TaskType,
  type TextInput,
  taskOf,
} from "../index.js";
import { commandLine } from "./flags.js";
import {
  adapterOption,
  chooseTask,
  engineGroup,
  modelGroup,
  readBase,
  showHub,
  showQuantizing,
} from "./model.js";
import type { Option, Settings, Verb } from "./options.js";
import { columnsFor } from "./predict_columns.js";
import { clipsIn, isOfSound, speechOptions } from "./predict_sound.js";
import { type ClipInput, type Output, type PredictionForm, writerOf } from "./predictions.js";
import { type Terminal, warn } from "./terminal.js";

const answerOptions: readonly Option[] = [
  { key: "batchSize", kind: "whole", help: "texts at a time", byDefault: 8 },
  {
    key: "topK",
    kind: "whole",
    help: "how many labels or answers, the likeliest first",
    otherwise: "1; all labels where a text may have several",
  },
  {
    key: "aggregation",
    api: "aggregationStrategy",
    kind: "text",
    help: "how tokens become entities",
    choices: ["none", "simple", "first", "average", "max"],
    otherwise: "simple",
  },
  {
    key: "pooling",
    kind: "text",
    help: "which tokens make a vector",
    choices: ["mean", "cls", "last"],
    otherwise: "by modules.json, else mean",
  },
  { key: "normalize", kind: "flag", help: "make vectors of length 1" },
  {
    key: "maxLength",
    kind: "whole",
    help: "tokens that a text may have; of a longer one the rest is cut, but for contexts of questions, which are read in windows of so many",
    otherwise: "what the model reads; 384 of question and context",
  },
  {
    key: "docStride",
    kind: "whole",
    help: "tokens that two windows of a context share",
    otherwise: "128, or half a window",
  },
  { key: "maxAnswerLen", kind: "whole", help: "tokens that an answer has at most", byDefault: 15 },
  { key: "handleImpossibleAnswer", kind: "flag", help: "a question may have no answer" },
  {
    key: "language",
    kind: "text",
    value: "LANGUAGE",
    help: "the language spoken in clips: hi, hindi",
    otherwise: "as in training, else what the model finds likeliest",
  },
  {
    key: "speechTask",
    kind: "text",
    help: "write what is said, or translate it to English",
    choices: ["transcribe", "translate"],
    otherwise: "as in training, else transcribe",
  },
  { key: "timestamps", kind: "flag", help: "write when it is said" },
  { key: "numBeams", kind: "whole", help: "transcripts that are followed side by side", byDefault: 1 },
];

/** `peft predict` */
export const prediction: Verb = {
  name: "predict",
  summary: "Ask a trained model: labels, entities, answers, vectors, of one text or of a file.",
  examples: [
    'peft predict --adapter out --text "My parcel never came"',
    "peft predict --adapter out --data tickets.csv --column body --output answers.jsonl",
    'peft predict --model deepset/roberta-base-squad2 --question "Who?" --context "Ann was here."',
  ],
  groups: () => [
    modelGroup("the adapter's own base", adapterOption),
    {
      title: "Input",
      options: [
        { key: "text", kind: "text", many: true, help: "what is asked about; may be given more than once" },
        { key: "pair", kind: "text", help: "a second text beside it" },
        { key: "question", kind: "text", help: "a question about --context" },
        { key: "context", kind: "text", help: "where its answer is looked for" },
        {
          key: "data",
          kind: "text",
          value: "FILE",
          many: true,
          help: "rows of a file, a folder or a pattern; - for standard input; read while they are answered",
        },
        {
          key: "column",
          kind: "text",
          help: "the column of the text",
          otherwise: "as in training, else text, sentence, ...",
        },
        { key: "limit", kind: "whole", help: "no more than so many rows", otherwise: "all" },
        { key: "skipBad", kind: "flag", help: "leave out pictures that cannot be read" },
        {
          key: "format",
          kind: "text",
          help: "the form of the files",
          choices: ["jsonl", "json", "csv", "parquet", "arrow", "hocr"],
          otherwise: "by their extension",
        },
      ],
    },
    { title: "Answers", options: answerOptions },
    {
      title: "Output",
      options: [
        {
          key: "output",
          kind: "text",
          value: "FILE",
          help: "where answers go; .jsonl, .json and .csv say the form",
          otherwise: "standard output",
        },
        { key: "json", kind: "flag", help: "print one list of JSON" },
        { key: "jsonl", kind: "flag", help: "print an object of JSON a line" },
        { key: "csv", kind: "flag", help: "print a table" },
      ],
    },
    engineGroup,
  ],
  run,
};

async function run(settings: Settings, terminal: Terminal): Promise<number> {
  const hub = { progress: showHub(terminal), revision: settings.text("revision") };
  const adapter = settings.text("adapter");
  const base = await readBase(settings, hub);
  const trained =
    adapter === undefined ? undefined : await inspectAdapter(adapter, { ...hub, revision: undefined });
  const task = chooseTask(settings, base, undefined, trained?.config.taskType);
  const name = pipelineOf(task);
  if ((taskOf(task).generates && !isOfSound(task)) || name === undefined)
    throw notHere(task, adapter ?? base.name, adapter !== undefined);
  const inputs = isOfSound(task)
    ? await clipsIn(settings, terminal)
    : await inputsOf(settings, task, terminal);
  refuseInputAsOutput(settings, terminal);
  return terminal.interruptible(
    () => terminal.note("\nStopping."),
    async (signal) => {
      const ask = await pipeline(name, adapter ?? base.name, {
        ...settings.pick(["threads", "device", "plan", "maxMemory"]),
        ...hub,
        signal,
        load: settings.oneOf("loadIn", FORMAT_NAMES),
        quantizing: showQuantizing(terminal),
        warn: (message) => warn(terminal, message.shown(settings.show)),
        ...(adapter === undefined ? {} : { base: base.name, revision: undefined }),
        ...ownOptions(name, settings),
        ...(name === "automatic-speech-recognition" ? await speechOptions(settings, terminal) : {}),
      });
      try {
        const call: CallOptions = {
          batchSize: settings.number("batchSize"),
          signal,
          progress: progressOf(terminal),
        };
        await write(ask as unknown as Ask, inputs, call, settings, terminal);
      } finally {
        await ask.close();
      }
      return 0;
    },
  );
}

type Asked = TextInput | QuestionInput | DocumentInput | ImageSource;
type Input = Asked | ClipInput;
type Ask = (inputs: AsyncIterable<Asked>, options: CallOptions) => AsyncIterable<Output>;

async function write(
  ask: Ask,
  inputs: AsyncIterable<Input>,
  call: CallOptions,
  settings: Settings,
  terminal: Terminal,
): Promise<void> {
  const writer = writerOf(formOf(settings));
  const path = settings.text("output");
  const file = path === undefined ? undefined : await terminal.openFile(path);
  const put =
    file?.write ??
    (async (text: string): Promise<void> => {
      terminal.write(text);
      await terminal.written();
    });
  const waiting: Input[] = [];
  async function* kept(): AsyncGenerator<Asked> {
    for await (const input of inputs) {
      waiting.push(input);
      yield typeof input === "object" && "file" in input ? input.file : input;
    }
  }
  try {
    // Each answer is written whole, and a list is closed, also where the work is stopped.
    for await (const output of ask(kept(), call))
      await put(writer.row(shownInput(waiting.shift() ?? ""), output));
  } finally {
    await put(writer.end());
    await file?.close();
  }
}

/** What stands beside an answer: the text, the page's words, or the path of a picture or a clip. */
function shownInput(input: Input): TextInput | QuestionInput | DocumentInput | ClipInput {
  if (typeof input === "string" || "question" in input || "text" in input || "words" in input) return input;
  if ("file" in input) return input;
  return "path" in input ? (input.path ?? "") : "";
}

const forms = ["json", "jsonl", "csv"] as const satisfies readonly PredictionForm[];

/** As a flag says it, or the ending of the output file. */
function formOf(settings: Settings): PredictionForm {
  const path = settings.text("output")?.toLowerCase();
  return (
    forms.find((form) => settings.flag(form)) ?? forms.find((form) => path?.endsWith(`.${form}`)) ?? "text"
  );
}

/** Rows are read while answers are written. Throws "option" where both are one file. */
function refuseInputAsOutput(settings: Settings, terminal: Terminal): void {
  const path = settings.text("output");
  if (path === undefined) return;
  const isRead = settings.list("data").some((name) => terminal.absolute(name) === terminal.absolute(path));
  if (!isRead) return;
  throw new PeftError("option", {
    what: `"${path}" is read and written.`,
    why: "its rows would be gone before they are answered.",
    fix: "choose another --output.",
  });
}

/** Options of the pipeline that its kind of answer has. */
function ownOptions(name: PipelineName, settings: Settings): object {
  const strategy = settings.text("aggregation");
  const maxLength = settings.number("maxLength");
  const cut = maxLength === undefined ? {} : { maxLength };
  const byName: Partial<Record<PipelineName, object>> = {
    "text-classification": { ...settings.pickGiven(["topK"]), ...cut },
    "image-classification": settings.pickGiven(["topK"]),
    "token-classification": { ...(strategy === undefined ? {} : { aggregationStrategy: strategy }), ...cut },
    "question-answering": {
      ...settings.pickGiven(["topK", "handleImpossibleAnswer", "docStride", "maxAnswerLen"]),
      ...(maxLength === undefined ? {} : { maxSeqLen: maxLength }),
    },
    "feature-extraction": { ...settings.pickGiven(["pooling", "normalize"]), ...cut },
  };
  return byName[name] ?? {};
}

/** Says every few seconds how far it is. */
function progressOf(terminal: Terminal): (done: number) => void {
  let last = terminal.now();
  return (done) => {
    if (terminal.now() - last < 5000) return;
    last = terminal.now();
    terminal.note(`${done} answered`);
  };
}

async function inputsOf(
  settings: Settings,
  task: TaskType,
  terminal: Terminal,
): Promise<AsyncIterable<Input>> {
  const files = settings.list("data");
  const isQuestion = task === "QUESTION_ANS";
  const [question, context] = [settings.text("question"), settings.text("context")];
  const pair = settings.text("pair");
  const texts: Input[] = settings
    .list("text")
    .map((text) => (pair === undefined ? text : { text, textPair: pair }));
  const said =
    isQuestion && question !== undefined && context !== undefined ? [{ question, context }] : texts;
  if (files.length === 0 && said.length === 0) throw nothingAsked(isQuestion);
  if (files.length === 0) return listed(said);
  if (task === "IMAGE_CLS") {
    const pictures = await loadDataset(files, {
      ...settings.pick(["limit", "format", "skipBad"]),
      kind: "picture",
      warn: (message) => warn(terminal, message),
    });
    return listed(pictures.flatMap((row) => (row.kind === "picture" ? [row.image] : [])));
  }
  const columns = await columnsFor(settings, task, terminal);
  const rows = await loadDataset(files, {
    ...settings.pick(["limit", "format"]),
    ...columns,
    streaming: true,
    warn: (message) => warn(terminal, message),
  });
  return inputsIn(rows, said);
}

async function* listed(inputs: readonly Input[]): AsyncGenerator<Input> {
  yield* inputs;
}

async function* inputsIn(rows: AsyncIterable<Row>, first: readonly Input[]): AsyncGenerator<Input> {
  yield* first;
  for await (const row of rows) {
    if (row.kind === "question") yield { question: row.question, context: row.context };
    else if (row.kind === "classify")
      yield row.pair === undefined ? row.text : { text: row.text, textPair: row.pair };
    else if (row.kind === "text") yield row.text;
    else if (row.kind === "document") yield { words: row.words, boxes: row.boxes };
  }
}

function nothingAsked(isQuestion: boolean): PeftError {
  return new PeftError("option", {
    what: "Nothing is asked.",
    why: isQuestion ? "this model answers questions about a text." : "there is no text.",
    fix: isQuestion
      ? 'add --question "..." --context "...", or --data FILE with columns question and context.'
      : 'add --text "...", or --data FILE.',
  });
}

function notHere(task: TaskType, name: string, isAdapter: boolean): PeftError {
  const what = isAdapter ? { adapter: name } : { model: name };
  return new PeftError("option", {
    what: `"${name}" is for ${task}.`,
    why: taskOf(task).generates ? "it answers with text that it writes." : "no pipeline asks models for it.",
    fix: taskOf(task).generates
      ? `let it write: ${commandLine("generate", { ...what, prompt: "your text" })}.`
      : "ask it in code: model.forward(batch).",
  });
}
