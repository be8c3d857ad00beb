import {
  type AdapterConfig,
  AutoConfig,
  baseOfAdapter,
  type ConfigOptions,
  FORMAT_NAMES,
  formatBytes,
  type HubEvent,
  headForRows,
  inspectAdapter,
  isTaskType,
  type LoadOptions,
  labelNames,
  PeftError,
  PeftModel,
  PLAN_NAMES,
  PreTrainedModel,
  type PretrainedConfig,
  processorForRows,
  type QuantizeEvent,
  type Row,
  type RowProcessor,
  type TaskType,
  type Tokenizer,
  taskForRows,
  tasks,
  tokenizerForRows,
} from "../index.js";
import { option, words } from "../words.js";
import type { Option, OptionGroup, Settings } from "./options.js";
import { type Terminal, warn } from "./terminal.js";

const revision: Option = {
  key: "revision",
  kind: "text",
  help: "a branch, tag or commit",
  otherwise: "main",
};
const task: Option = {
  key: "task",
  api: "taskType",
  kind: "text",
  help: "what the model is for",
  choices: tasks.all.map(({ name }) => name),
  otherwise: "by the adapter, the model's config.json and the data",
};

export function modelGroup(otherwise?: string, ...more: readonly Option[]): OptionGroup {
  const model: Option = { key: "model", kind: "text", value: "NAME", help: "a folder or a Hub id" };
  const shown = otherwise === undefined ? model : { ...model, otherwise };
  return { title: "Model", options: [shown, ...more, revision, task] };
}

export const adapterOption: Option = {
  key: "adapter",
  kind: "text",
  value: "NAME",
  help: "an adapter's folder or Hub id",
};

export const engineGroup: OptionGroup = {
  title: "Engine",
  options: [
    { key: "threads", kind: "whole", help: "threads that compute", otherwise: "all of this machine" },
    { key: "device", kind: "text", help: "where to compute: cpu, webgpu, cuda, ...", otherwise: "cpu" },
    {
      key: "loadIn",
      api: "load",
      kind: "text",
      help: "how the base's linear layers are held: int8, int4 and nf4 are made once, into a cache",
      choices: FORMAT_NAMES,
      otherwise: "as stored, computed in f32",
    },
    {
      key: "plan",
      kind: "text",
      help: "a step in one piece, block by block, or with weights read ahead of their use",
      choices: ["auto", ...PLAN_NAMES],
      otherwise: "auto: the fastest that fits",
    },
    {
      key: "maxMemory",
      kind: "text",
      value: "SIZE",
      help: "what a step may take: 4GB, 900MB",
      otherwise: "what is free",
    },
  ],
};

export interface OpenedModel {
  readonly base: PreTrainedModel;
  /** With the adapter that was asked for. */
  readonly adapted: PeftModel | undefined;
}
export interface Opened extends OpenedModel {
  readonly tokenizer: Tokenizer;
  /** Of pictures or sound that the rows refer to. */
  readonly processor: RowProcessor | undefined;
}

interface OpenOptions {
  readonly rows?: readonly Row[];
  readonly signal?: AbortSignal;
  /** The adapter goes on learning. @default false */
  readonly isTrainable?: boolean;
  /** Fields of config.json beside those of the adapter and the rows. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/**
 * Loads the model, its tokenizer and the adapter that the settings name, for the task that they or the rows
 * mean.
 */
export async function openModel(
  settings: Settings,
  terminal: Terminal,
  options: OpenOptions = {},
): Promise<Opened> {
  const hub = { progress: showHub(terminal), signal: options.signal, revision: settings.text("revision") };
  const base = await readBase(settings, hub);
  const adapter = await adapterConfig(settings, hub);
  const task = chooseTask(settings, base, options.rows, adapter?.taskType);
  const { tokenizer, fields } = await tokenizerForRows(task, options.rows, base.name, {
    ...hub,
    adapter: settings.text("adapter"),
  });
  const size = fields["vocab_size"];
  if (size !== undefined)
    terminal.note(`The model has no vocabulary: it gets ${size} tokens, the texts' letters.`);
  const tokens = settings.list("addTokens");
  if (tokens.length > 0) tokenizer.addTokens(tokens);
  const isGrown = tokens.length > 0 && tokenizer.length > Number(base.json["vocab_size"]);
  const all = isGrown ? { ...fields, vocab_size: tokenizer.length } : fields;
  const opened = await openWithoutTokenizer(settings, terminal, { ...options, fields: all });
  try {
    return { ...opened, tokenizer, processor: await processorForRows(options.rows, base.name, hub) };
  } catch (error) {
    await opened.base.close();
    throw error;
  }
}

/** The same for commands that read no text. */
export async function openWithoutTokenizer(
  settings: Settings,
  terminal: Terminal,
  { rows, signal, isTrainable = false, fields }: OpenOptions = {},
): Promise<OpenedModel> {
  const hub = { progress: showHub(terminal), signal, revision: settings.text("revision") };
  const read = await readBase(settings, hub);
  const { name } = read;
  const adapter = await adapterConfig(settings, hub);
  const chosen = chooseTask(settings, read, rows, adapter?.taskType);
  const load = async (): Promise<PreTrainedModel> =>
    PreTrainedModel.load(chosen, name, {
      ...hub,
      ...settings.pick(["threads", "device", "plan", "maxMemory", "seed"]),
      load: settings.oneOf("loadIn", FORMAT_NAMES),
      quantizing: showQuantizing(terminal),
      warn: (message) => warn(terminal, message.shown(settings.show)),
      ...poolingOf(settings),
      config: {
        ...(await fieldsFor(chosen, read, rows, settings, terminal)),
        ...fields,
      },
    });
  const base = await load().catch((error: unknown) => {
    throw adapter?.taskType === chosen ? otherBase(error, adapter, name, settings) : error;
  });
  const folder = settings.text("adapter");
  const adapted =
    folder === undefined
      ? undefined
      : await PeftModel.fromPretrained(base, folder, { ...hub, revision: undefined, isTrainable });
  return { base, adapted };
}

/** How vectors are made, as the settings say it; else the model's folder does. */
function poolingOf(settings: Settings): Pick<LoadOptions, "pooling"> {
  const tokens = settings.get("pooling");
  if (tokens !== "mean" && tokens !== "cls" && tokens !== "last") return {};
  return { pooling: { tokens, normalize: settings.flag("normalize") } };
}

/** How tokens become a vector, for commands that train or evaluate embeddings. */
export const poolingOptions: readonly Option[] = [
  {
    key: "pooling",
    kind: "text",
    help: "of embeddings: which tokens make a vector",
    choices: ["mean", "cls", "last"],
    otherwise: "as the model's folder says, else mean",
  },
  { key: "normalize", kind: "flag", help: "with --pooling: vectors have length 1" },
];

/** The config of the adapter that the settings name. */
async function adapterConfig(settings: Settings, hub: ConfigOptions): Promise<AdapterConfig | undefined> {
  const name = settings.text("adapter");
  if (name === undefined) return undefined;
  return (await inspectAdapter(name, { ...hub, revision: undefined })).config;
}

/** An error of a base that has no head for what an adapter was made for: its own base is another. */
function otherBase(error: unknown, adapter: AdapterConfig, name: string, settings: Settings): unknown {
  if (!(error instanceof PeftError) || error.code !== "unknown-task") return error;
  const { taskType, baseModelNameOrPath: own } = adapter;
  return new PeftError("adapter-mismatch", {
    what: `"${settings.text("adapter")}/adapter_config.json": task_type is ${taskType}, and the base "${name}" has no head for it.`,
    why: `${error.what} ${error.why} The adapter was trained on another base.`,
    fix: words`name its own base${own === undefined ? "" : ` (${own})`}: ${option("model")} FOLDER_OR_HUB_ID.`,
    cause: error,
  });
}

/** The config of the model that is named, or of the adapter's own base. */
export async function readBase(settings: Settings, hub: ConfigOptions): Promise<PretrainedConfig> {
  const name = settings.text("model");
  if (name !== undefined) return AutoConfig.fromPretrained(name, hub);
  const adapter = settings.text("adapter");
  if (adapter !== undefined) return baseOfAdapter(adapter, { ...hub, revision: undefined });
  throw new PeftError("option", {
    what: "No model is given.",
    why: "there is nothing to load.",
    fix: "add --model FOLDER_OR_HUB_ID.",
  });
}

/**
 * Fields of config.json that differ from the base's own: the head and the vocabulary that an adapter was
 * trained with, by its own file; its run, where it is one of ours, names the classes. Without an adapter, a
 * head for the rows' classes. Throws "data" where the rows have other classes than the adapter.
 */
async function fieldsFor(
  chosen: TaskType,
  base: PretrainedConfig,
  rows: readonly Row[] | undefined,
  settings: Settings,
  terminal: Terminal,
): Promise<Record<string, unknown>> {
  const fields = headForRows(chosen, rows);
  const adapter = settings.text("adapter");
  if (adapter === undefined) return fields;
  const hub = { progress: showHub(terminal) };
  const { numLabels, vocabSize, baseFields } = await inspectAdapter(adapter, {
    ...hub,
    base,
    taskType: chosen,
  });
  const classes = fields["num_labels"];
  if (numLabels !== undefined && typeof classes === "number" && classes !== numLabels)
    throw otherClasses(adapter, numLabels, rows ?? []);
  if (vocabSize !== undefined)
    terminal.note(
      `The adapter was trained with a vocabulary of ${vocabSize} tokens: the base's, of ${base.json["vocab_size"]}, is resized.`,
    );
  return { ...baseFields, ...fields };
}

function otherClasses(adapter: string, count: number, rows: readonly Row[]): PeftError {
  const names = labelNames(rows);
  return new PeftError("data", {
    what: `The adapter "${adapter}" tells ${count} classes apart, the rows have ${names.length}: ${names.slice(0, 8).join(", ")}${names.length > 8 ? ", ..." : ""}.`,
    why: "a class means what it meant in training by its place in the list of all of them.",
    fix: words`name all ${count} in the order of training: ${option("labels")} NAME,NAME,...`,
  });
}

/**
 * What is said; else what the adapter was made for; else what the data are good for; else what the model was
 * made for.
 */
export function chooseTask(
  settings: Settings,
  model: PretrainedConfig,
  rows?: readonly Row[],
  ofAdapter?: string,
): TaskType {
  const said = settings.text("task") ?? ofAdapter;
  if (isTaskType(said)) return said;
  return taskForRows(rows, model.taskType);
}

/** Classes in the order in which the adapter, or the model, learnt them. */
export async function knownLabels(
  settings: Settings,
  terminal: Terminal,
): Promise<readonly string[] | undefined> {
  const said = settings.list("labels");
  if (said.length > 0) return said;
  const adapter = settings.text("adapter");
  const hub = { progress: showHub(terminal) };
  const ofAdapter = adapter === undefined ? undefined : (await inspectAdapter(adapter, hub)).labels;
  return ofAdapter ?? (await readBase(settings, hub)).labels;
}

/** Quantizing, a line at its start and end, and every so often. */
export function showQuantizing({ note }: Terminal): (event: QuantizeEvent) => void {
  let shown = 0;
  return ({ kind, done, total, message }) => {
    if (kind === "rebuilt" || kind === "waiting") note(message);
    if (kind === "start") note(`Quantizing once: ${formatBytes(total)} into "${message}".`);
    if (kind !== "progress" || done - shown < total / 10) return;
    shown = done;
    note(`  ${Math.round((100 * done) / total)} %`);
  };
}

/** Downloads, one line each on stderr. */
export function showHub({ note }: Pick<Terminal, "note">): (event: HubEvent) => void {
  return (event) => {
    if (event.kind === "start" && event.files > 0)
      note(`Downloading ${event.files} files, ${formatBytes(event.bytes)}.`);
    if (event.kind === "done") note(`  ${event.file}`);
    if (event.kind === "retry") note(`  ${event.reason}; trying again in ${Math.ceil(event.seconds)} s`);
    if (event.kind === "offline") note(`The Hub does not answer (${event.reason}); using the cache.`);
  };
}

/** Of a model that is to read or write texts. */
export function noTokenizer(): PeftError {
  return new PeftError("tokenizer", {
    what: "The model has no tokenizer.",
    why: "prompts and answers are texts.",
    fix: "name a model that writes text: --model HuggingFaceTB/SmolLM2-135M-Instruct.",
  });
}
