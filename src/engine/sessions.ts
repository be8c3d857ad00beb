import * as fs from "node:fs";
import * as path from "node:path";
import * as ort from "onnxruntime-node";
import { internal, PeftError } from "../errors.js";
import type { DType } from "../graph/ops.js";
import { expandToF32 } from "./expand.js";
import { bf16 } from "./formats/bf16.js";
import { f16 } from "./formats/f16.js";
import { f32 } from "./formats/f32.js";
import type { WeightBinding } from "./lowering.js";
import { lower } from "./lowering.js";
import type {
  EngineOptions,
  Feed,
  HostTensor,
  Request,
  RunRequest,
  RunResult,
  WeightSource,
} from "./messages.js";
import { OnnxGraph } from "./onnx.js";
import type { Program } from "./program.js";
import { weightsOf } from "./program.js";

const STORED = { f32, f16, bf16 };

/** Passes that would keep a second copy of a weight, in f32; the latter also fails on weights read inside a Scan. */
const NO_COPIES = "ConstantFolding;FuseFp16InitializerToFp32NodeTransformer";

interface Compiled {
  readonly session: ort.InferenceSession;
  /** Weights that are fed with every run, by input name. */
  readonly fed: readonly string[];
}

/**
 * The worker's side of the engine: sessions on ONNX Runtime, weights, and tensors kept between runs.
 * f32 weights in a file are mapped where they lie; others are brought into f32 once and fed without a copy.
 */
export class Sessions {
  readonly #options: EngineOptions;
  readonly #weights: Map<string, WeightSource>;
  readonly #expanded: Map<string, ort.Tensor> = new Map();
  readonly #compiled: Map<string, Compiled> = new Map();
  readonly #held: Map<string, ort.Tensor> = new Map();
  /** Where mapped weights are looked for: a folder that holds all their files. */
  #root: string;

  private constructor(options: EngineOptions, weights: ReadonlyMap<string, WeightSource>) {
    this.#options = options;
    this.#weights = new Map([...weights].map(([name, source]) => [name, resolved(source)]));
    this.#root = commonFolder(this.#weights.values());
  }

  /** Throws "engine" where the device is not there. */
  static async open(options: EngineOptions, weights: ReadonlyMap<string, WeightSource>): Promise<Sessions> {
    ort.env.logLevel = "fatal"; // errors are thrown; what else is printed helps no user
    if (options.device !== "cpu") await checkDevice(options.device);
    return new Sessions(options, weights);
  }

  async handle(
    request: Exclude<Request, { kind: "open" | "devices" | "device" | "close" }>,
  ): Promise<unknown> {
    switch (request.kind) {
      case "compile":
        return this.#compile(request.name, request.program);
      case "run":
        return this.#run(request.request);
      case "put":
        for (const [name, tensor] of Object.entries(request.tensors)) this.#held.set(name, toOrt(tensor));
        return undefined;
      case "release":
        for (const name of request.names) this.#held.delete(name);
        return undefined;
      case "drop":
        await this.#compiled.get(request.name)?.session.release();
        this.#compiled.delete(request.name);
        return undefined;
      case "weights":
        return this.#change(request.changed);
    }
  }

  async close(): Promise<void> {
    for (const { session } of this.#compiled.values()) await session.release();
    this.#compiled.clear();
    this.#expanded.clear();
    this.#held.clear();
  }

  /** Replaces weights (merging). Sessions that have the old ones bound are dropped. */
  async #change(changed: ReadonlyMap<string, WeightSource | undefined>): Promise<void> {
    for (const [name, source] of changed) {
      this.#expanded.delete(name);
      if (source === undefined) this.#weights.delete(name);
      else this.#weights.set(name, resolved(source));
    }
    this.#root = commonFolder(this.#weights.values());
    for (const { session } of this.#compiled.values()) await session.release();
    this.#compiled.clear();
  }

  #mapped(source: WeightSource): boolean {
    if (source.file === undefined || !isInside(this.#root, source.file.path)) return false;
    return source.dtype === "f32" || this.#options.resident === "stored";
  }

  #binding(name: string): WeightBinding {
    const source = this.#weights.get(name) ?? internal(`no weight "${name}"`);
    if (this.#mapped(source)) {
      const format = STORED[source.dtype];
      const { path: file, offset } = source.file!;
      const location = path.relative(this.#root, file);
      const bytes = format.bytes(source.shape);
      return {
        format,
        declare: (o, n, shape) =>
          format.weight(o, o.external(`w:${n}`, format.element, shape, { location, offset, bytes })),
      };
    }
    return { format: f32, declare: (o, n, shape) => o.input(`w:${n}`, "f32", shape) };
  }

  async #compile(name: string, program: Program): Promise<void> {
    if (this.#compiled.has(name)) return;
    const names = weightsOf(program);
    const model = lower(program, (n) => this.#binding(n));
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [this.#options.device],
      graphOptimizationLevel: "extended",
      intraOpNumThreads: this.#options.threads,
      interOpNumThreads: 1,
      enableMemPattern: false,
      logSeverityLevel: 4,
      extra: {
        session: {
          disable_prepacking: "1",
          // waiting threads that spin gain 2 % on an idle machine, and lose 20 to 40 % where anything else runs
          intra_op: { allow_spinning: "0" },
          model_external_initializers_file_folder_path: this.#root,
        },
        optimization: { disable_specified_optimizers: NO_COPIES },
      },
    });
    this.#compiled.set(name, { session, fed: names.filter((n) => !this.#mapped(this.#weights.get(n)!)) });
  }

  #weightTensor(name: string): ort.Tensor {
    const known = this.#expanded.get(name);
    if (known !== undefined) return known;
    const source = this.#weights.get(name) ?? internal(`no weight "${name}"`);
    const data = source.data ?? expandToF32(readBytes(source), source.dtype);
    const tensor = new ort.Tensor("float32", data, source.shape);
    this.#expanded.set(name, tensor);
    return tensor;
  }

  async #run(request: RunRequest): Promise<RunResult> {
    const compiled =
      this.#compiled.get(request.program) ?? internal(`program ${request.program} is not compiled`);
    const feeds: Record<string, ort.Tensor> = {};
    for (const [name, feed] of Object.entries(request.feeds)) feeds[name] = this.#feed(feed);
    for (const name of compiled.fed) feeds[`w:${name}`] = this.#weightTensor(name);
    const results = await compiled.session.run(feeds);
    const packedNames = new Set(request.pack);
    const outputs: Record<string, HostTensor> = {};
    for (const [name, tensor] of Object.entries(results)) {
      const kept = request.keep[name];
      if (kept !== undefined) this.#held.set(kept, tensor);
      else if (!packedNames.has(name)) outputs[name] = fromOrt(tensor);
    }
    const parts = request.pack.map((name) => results[name]!.data as Float32Array);
    const packed = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const part of parts) {
      packed.set(part, at);
      at += part.length;
    }
    return { outputs, packed };
  }

  #feed(feed: Feed): ort.Tensor {
    if (!("held" in feed)) return toOrt(feed);
    return this.#held.get(feed.held) ?? internal(`nothing is held as "${feed.held}"`);
  }
}

function readBytes(source: WeightSource): Uint8Array {
  const length = STORED[source.dtype].bytes(source.shape);
  const bytes = new Uint8Array(length);
  const fd = fs.openSync(source.file!.path, "r");
  try {
    let done = 0;
    while (done < length) {
      const n = fs.readSync(fd, bytes, done, length - done, source.file!.offset + done);
      if (n === 0) throw unreadable(source.file!.path, "it ends before its weights do.");
      done += n;
    }
  } finally {
    fs.closeSync(fd);
  }
  return bytes;
}

function unreadable(file: string, why: string): PeftError {
  return new PeftError("checkpoint", {
    what: `The weights in "${file}" cannot be read.`,
    why,
    fix: "leave the model's files as they are while it is in use; else download them again.",
  });
}

const ORT_TYPE = { f32: "float32", i64: "int64", i32: "int32", bool: "bool" } as const;

function toOrt({ dtype, shape, data }: HostTensor): ort.Tensor {
  if (dtype === "i64") return new ort.Tensor("int64", widened(data as Int32Array), shape);
  if (dtype === "bool") return new ort.Tensor("bool", Uint8Array.from(data), shape);
  return new ort.Tensor(ORT_TYPE[dtype], data as Float32Array, shape);
}

/** i32 to i64, both halves of each at once. */
function widened(data: Int32Array): BigInt64Array {
  const halves = new Int32Array(2 * data.length);
  for (let i = 0; i < data.length; i++) {
    halves[2 * i] = data[i]!;
    halves[2 * i + 1] = data[i]! >> 31;
  }
  return new BigInt64Array(halves.buffer);
}

function fromOrt(tensor: ort.Tensor): HostTensor {
  const dtype = (Object.keys(ORT_TYPE) as DType[]).find((d) => ORT_TYPE[d] === tensor.type);
  if (dtype === undefined) return internal(`a result of type ${tensor.type}`);
  const { data } = tensor;
  if (data instanceof Float32Array || data instanceof Int32Array) return { dtype, shape: tensor.dims, data };
  return { dtype, shape: tensor.dims, data: Int32Array.from(data as Uint8Array, Number) };
}

/** Links followed: ONNX Runtime maps no file that lies outside its folder, and the Hub's cache is made of links. */
function resolved(source: WeightSource): WeightSource {
  if (source.file === undefined) return source;
  const { path: file, offset } = source.file;
  if (fs.existsSync(file)) return { ...source, file: { path: fs.realpathSync(file), offset } };
  throw unreadable(file, "it is not there.");
}

function isInside(folder: string, file: string): boolean {
  return file.startsWith(folder.endsWith(path.sep) ? folder : `${folder}${path.sep}`);
}

/** The deepest folder that holds all weight files, or at least the first. */
function commonFolder(weights: Iterable<WeightSource>): string {
  const files = new Set([...weights].flatMap((w) => (w.file === undefined ? [] : [w.file.path])));
  let folder: string | undefined;
  for (const file of files) {
    folder ??= path.dirname(file);
    while (!isInside(folder, file) && folder !== path.dirname(folder)) folder = path.dirname(folder);
  }
  return folder ?? path.resolve("/");
}

/** Devices that this build of ONNX Runtime knows and that a session can be made on. */
export async function workingDevices(): Promise<string[]> {
  ort.env.logLevel = "fatal";
  const working = ["cpu"];
  for (const { name } of ort.listSupportedBackends())
    if (!working.includes(name) && (await tryDevice(name)) === undefined) working.push(name);
  return working;
}

/** Throws "engine" where no session can be made on it. */
export async function checkDevice(device: string): Promise<void> {
  const fault = await tryDevice(device);
  if (fault === undefined) return;
  const working = await workingDevices();
  throw new PeftError("engine", {
    what: `There is no device "${device}" here.`,
    why: `ONNX Runtime says: ${fault.split("\n")[0]}`,
    fix: `use one of those that work on this machine: ${working.map((d) => `"${d}"`).join(", ")}.`,
  });
}

/** Why a device does not work, by a session that does next to nothing. */
async function tryDevice(device: string): Promise<string | undefined> {
  const o = new OnnxGraph();
  o.nodes("Identity", [o.input("x", "f32", [1])], {}, ["y"]);
  o.output("y", "f32", [1]);
  try {
    const session = await ort.InferenceSession.create(o.model(), {
      executionProviders: [device],
      logSeverityLevel: 4,
    });
    await session.release();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
