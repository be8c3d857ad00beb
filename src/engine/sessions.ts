import * as ort from "onnxruntime-node";
import { internal, PeftError } from "../errors.js";
import type { Shape } from "../graph/dims.js";
import { dimNames, evalDim, solveDim } from "../graph/dims.js";
import type { DType } from "../graph/ops.js";
import { Buffers, LARGE } from "./buffers.js";
import type { PartTensor } from "./formats/format.js";
import { elements } from "./formats/format.js";
import { lower } from "./lowering.js";
import type {
  EngineOptions,
  Feed,
  HostTensor,
  NamedProgram,
  Request,
  RunRequest,
  RunResult,
  Schedule,
  Step,
  WeightSource,
} from "./messages.js";
import { OnnxGraph } from "./onnx.js";
import { namesByRows, weightsOf } from "./program.js";
import { fedWeight, WeightStore } from "./weight_store.js";

/** Passes that would keep a second copy of a weight, in f32; the latter also fails on weights read inside a Scan. */
const NO_COPIES = "ConstantFolding;FuseFp16InitializerToFp32NodeTransformer";

interface Compiled {
  readonly session: ort.InferenceSession;
  /** Weights that are fed with every run by the model's names. */
  readonly held: readonly string[];
  /** Results of types that are written to buffers of ours where they are large. */
  readonly results: readonly {
    readonly name: string;
    readonly shape: Shape;
    readonly dtype: "f32" | "bool";
  }[];
}

/** The worker's side of the engine: sessions on ONNX Runtime, weights, and tensors kept between runs. */
export class Sessions {
  readonly #options: EngineOptions;
  readonly #store: WeightStore;
  readonly #compiled: Map<string, Compiled> = new Map();
  /** What sessions are made of, where these come and go. */
  readonly #programs: Map<string, NamedProgram> = new Map();
  /** The schedule that ran last. */
  #current = "";
  readonly #schedules: Map<string, Schedule> = new Map();
  readonly #held: Map<string, ort.Tensor> = new Map();
  readonly #buffers: Buffers = new Buffers((bytes) => new ArrayBuffer(bytes));
  /** Values of the run under way whose buffers go back, and those that are held beyond it. */
  readonly #lent: Set<ort.Tensor> = new Set();
  readonly #kept: Set<ort.Tensor> = new Set();
  readonly #partTensors: WeakMap<PartTensor, ort.Tensor> = new WeakMap();

  private constructor(options: EngineOptions, weights: ReadonlyMap<string, WeightSource>) {
    this.#options = options;
    this.#store = new WeightStore(options, weights);
  }

  /** Throws "engine" where the device is not there. */
  static async open(options: EngineOptions, weights: ReadonlyMap<string, WeightSource>): Promise<Sessions> {
    ort.env.logLevel = "fatal"; // errors are thrown; what else is printed helps no user
    if (options.device !== "cpu") await checkDevice(options.device);
    return new Sessions(options, weights);
  }

  async handle(
    request: Exclude<Request, { kind: "open" | "devices" | "device" | "largest int8" | "close" }>,
  ): Promise<unknown> {
    switch (request.kind) {
      case "compile":
        for (const program of request.schedule.programs) await this.#compile(program);
        for (const program of this.#comeAndGo ? request.schedule.programs : [])
          this.#programs.set(program.name, program);
        this.#schedules.set(request.name, { ...request.schedule, programs: [] });
        return undefined;
      case "run":
        return this.#run(request.request);
      case "put":
        for (const [name, tensor] of Object.entries(request.tensors)) this.#hold(name, toOrt(tensor));
        return undefined;
      case "release":
        for (const name of request.names) this.#hold(name, undefined);
        return undefined;
      case "weights":
        await this.#drop();
        this.#store.change(request.changed);
        return undefined;
    }
  }

  async close(): Promise<void> {
    await this.#drop();
    this.#store.close();
    this.#held.clear();
    this.#buffers.clear();
  }

  /** Holds a tensor under a name, or none; the buffer of what was held there serves again. */
  #hold(name: string, tensor: ort.Tensor | undefined): void {
    const before = this.#held.get(name);
    if (tensor === undefined) this.#held.delete(name);
    else this.#held.set(name, tensor);
    if (before === undefined || [...this.#held.values()].includes(before)) return;
    if (this.#kept.delete(before)) this.#buffers.give(bufferOf(before));
  }

  /** Sessions that have weights bound are of no use once these change. */
  async #drop(): Promise<void> {
    for (const { session } of this.#compiled.values()) await session.release();
    this.#compiled.clear();
    this.#programs.clear();
    this.#schedules.clear();
    this.#current = "";
  }

  /** Weights are read as they are needed: memory is scarce. */
  get #comeAndGo(): boolean {
    return Number.isFinite(this.#options.keep ?? Number.POSITIVE_INFINITY);
  }

  /** Where memory is scarce, sessions live as long as their schedule runs: each has an arena that never shrinks. */
  async #turnTo(schedule: string, steps: readonly Step[]): Promise<void> {
    if (!this.#comeAndGo || schedule === this.#current) return;
    this.#current = schedule;
    this.#buffers.clear();
    const used = new Set(steps.map(({ program }) => program));
    for (const [name, { session }] of [...this.#compiled]) {
      if (used.has(name)) continue;
      this.#compiled.delete(name);
      await session.release();
    }
    for (const name of used) await this.#compile(this.#programs.get(name) ?? internal(`no program ${name}`));
  }

  async #compile({ name, program, fed, forwardOnly }: NamedProgram): Promise<void> {
    if (this.#compiled.has(name)) return;
    const laidOut = forwardOnly && fed === undefined && this.#store.arePacked(weightsOf(program));
    const byRows = namesByRows(program);
    const model = lower(program, (o, n, shape) =>
      fed === undefined
        ? this.#store.named(o, n, shape, { laidOut, byRows: byRows.has(n) })
        : fedWeight(o, n, shape, fed[n] ?? internal(`weight "${n}" has no type`)),
    );
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [this.#options.device],
      graphOptimizationLevel: "extended",
      intraOpNumThreads: this.#options.threads,
      interOpNumThreads: 1,
      enableMemPattern: false,
      logSeverityLevel: 4,
      extra: {
        session: {
          disable_prepacking: laidOut ? "0" : "1",
          // waiting threads that spin gain 2 % on an idle machine, and lose 20 to 40 % where anything else runs
          intra_op: { allow_spinning: "0" },
          model_external_initializers_file_folder_path: this.#store.root,
        },
        optimization: { disable_specified_optimizers: NO_COPIES },
      },
    });
    const held =
      fed === undefined ? weightsOf(program).filter((n) => !this.#store.isMapped(n, byRows.has(n))) : [];
    const results = program.outputs.flatMap((y) => {
      const { dtype, shape } = program.nodes[y.node]!;
      return dtype === "f32" || dtype === "bool" ? [{ name: y.name, shape, dtype }] : [];
    });
    this.#compiled.set(name, { session, held, results });
  }

  async #run(request: RunRequest): Promise<RunResult> {
    const { steps, results, dims } =
      this.#schedules.get(request.schedule) ?? internal(`schedule ${request.schedule} is not compiled`);
    this.#store.check();
    await this.#turnTo(request.schedule, steps);
    const values = new Map<string, ort.Tensor>();
    for (const [name, feed] of Object.entries(request.feeds)) values.set(name, this.#feed(feed));
    const sizes = solveDims(dims, values);
    for (const [name, size] of sizes) values.set(`dim:${name}`, emptyOf(size));
    const result = (name: string): ort.Tensor =>
      values.get(results[name] ?? "") ?? internal(`no result "${name}"`);
    try {
      for (const [i, step] of steps.entries()) {
        await this.#step(step, steps[i + 1] ?? steps[0]!, values, sizes);
        for (const name of step.free) {
          const tensor = values.get(name);
          values.delete(name);
          if (tensor !== undefined) this.#giveBack(tensor);
        }
      }
      return this.#results(request, result, Object.keys(results));
    } finally {
      for (const tensor of this.#lent) this.#buffers.forget(bufferOf(tensor)); // they cross to the caller
      this.#lent.clear();
    }
  }

  #giveBack(tensor: ort.Tensor): void {
    if (this.#lent.delete(tensor)) this.#buffers.give(bufferOf(tensor));
  }

  async #step(
    step: Step,
    next: Step,
    values: Map<string, ort.Tensor>,
    sizes: ReadonlyMap<string, number>,
  ): Promise<void> {
    const { session, held, results } =
      this.#compiled.get(step.program) ?? internal(`program ${step.program} is not compiled`);
    const value = (name: string): ort.Tensor => values.get(name) ?? numberOf(name);
    const feeds: Record<string, ort.Tensor> = {};
    const weights = { ...this.#store.feeds(held), ...(await this.#store.fed(step.weights)) };
    for (const [input, part] of Object.entries(weights)) feeds[input] = this.#partTensor(part);
    for (const [input, name] of Object.entries(step.inputs)) feeds[input] = value(name);
    this.#store.prefetch(next.weights, step.weights);
    const given = sizes.size === 0 ? undefined : this.#outputs(session, results, step, sizes);
    const made = given === undefined ? await session.run(feeds) : await session.run(feeds, given);
    for (const [output, name] of Object.entries(step.outputs)) {
      const tensor = given?.[output] ?? made[output] ?? internal(`${step.program} has no output "${output}"`);
      const known = values.get(name);
      if (known === undefined) values.set(name, tensor);
      else {
        addTo(known, tensor);
        this.#giveBack(tensor);
      }
    }
  }

  /** Where a step's results go: large ones into buffers that served before. */
  #outputs(
    session: ort.InferenceSession,
    results: Compiled["results"],
    step: Step,
    sizes: ReadonlyMap<string, number>,
  ): Record<string, ort.Tensor | null> {
    const outputs: Record<string, ort.Tensor | null> = {};
    for (const name of session.outputNames) if (name in step.outputs) outputs[name] = null;
    for (const { name, shape, dtype } of results) {
      if (!(name in outputs) || !shape.every((d) => dimNames(d).every((n) => sizes.has(n)))) continue;
      const dims = shape.map((d) => evalDim(d, sizes));
      const count = elements(dims);
      const bytes = (dtype === "f32" ? 4 : 1) * count;
      if (bytes < LARGE) continue;
      const buffer = this.#buffers.take(bytes);
      const tensor =
        dtype === "f32"
          ? new ort.Tensor("float32", new Float32Array(buffer, 0, count), dims)
          : new ort.Tensor("bool", new Uint8Array(buffer, 0, count), dims);
      this.#lent.add(tensor);
      outputs[name] = tensor;
    }
    return outputs;
  }

  #partTensor(part: PartTensor): ort.Tensor {
    const known = this.#partTensors.get(part);
    if (known !== undefined) return known;
    const tensor = new ort.Tensor(PART_TYPE[part.element], part.data as Uint8Array, part.shape);
    this.#partTensors.set(part, tensor);
    return tensor;
  }

  #results(
    { keep, pack }: RunRequest,
    result: (name: string) => ort.Tensor,
    names: readonly string[],
  ): RunResult {
    const packedNames = new Set(pack);
    const outputs: Record<string, HostTensor> = {};
    for (const name of names) {
      const kept = keep[name];
      if (kept !== undefined) this.#keep(kept, result(name));
      else if (!packedNames.has(name)) outputs[name] = fromOrt(result(name));
    }
    const parts = pack.map((name) => result(name).data as Float32Array);
    const packed = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const part of parts) {
      packed.set(part, at);
      at += part.length;
    }
    return { outputs, packed };
  }

  #keep(name: string, tensor: ort.Tensor): void {
    if (this.#lent.delete(tensor)) this.#kept.add(tensor);
    this.#hold(name, tensor);
  }

  #feed(feed: Feed): ort.Tensor {
    if (!("held" in feed)) return toOrt(feed);
    return this.#held.get(feed.held) ?? internal(`nothing is held as "${feed.held}"`);
  }
}

function bufferOf(tensor: ort.Tensor): ArrayBuffer {
  return (tensor.data as Float32Array).buffer as ArrayBuffer;
}

/** Values of dimensions, in the order of their sources, of which later ones need earlier ones. */
function solveDims(dims: Schedule["dims"], values: ReadonlyMap<string, ort.Tensor>): Map<string, number> {
  const solved = new Map<string, number>();
  for (const [name, source] of Object.entries(dims)) {
    const { dims: shape } = values.get(source.value) ?? internal(`no value "${source.value}"`);
    solved.set(name, solveDim(source, shape, solved));
  }
  return solved;
}

/** A tensor without elements whose first axis is a dimension's value. */
function emptyOf(size: number): ort.Tensor {
  return new ort.Tensor("float32", new Float32Array(0), [size, 0]);
}

/** "number:N" stands for itself. */
function numberOf(name: string): ort.Tensor {
  if (!name.startsWith("number:")) return internal(`no value "${name}"`);
  return new ort.Tensor("int32", Int32Array.of(Number(name.slice("number:".length))), []);
}

function addTo(total: ort.Tensor, part: ort.Tensor): void {
  const [a, b] = [total.data as Float32Array, part.data as Float32Array];
  for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
}

/** 16 bits cross the border as integers. */
const PART_TYPE = { f32: "float32", f16: "uint16", bf16: "uint16", i8: "int8", u8: "uint8" } as const;
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

/**
 * The largest int8 weight whose products are right here: kernels without VNNI add pairs of products in 16 bits, where 2 * 255 * 127
 * does not fit and 2 * 255 * 63 does. Nothing tells but a product that would overflow.
 */
export async function largestInt8(): Promise<127 | 63> {
  ort.env.logLevel = "fatal";
  const [rows, inner, columns] = [16, 256, 64];
  const o = new OnnxGraph();
  const inputs = [o.input("x", "u8", [rows, inner]), o.input("w", "i8", [inner, columns])];
  o.nodes("MatMulInteger", inputs, {}, ["y"]);
  o.output("y", "i32", [rows, columns]);
  const session = await ort.InferenceSession.create(o.model(), { logSeverityLevel: 4 });
  const { y } = await session.run({
    x: new ort.Tensor("uint8", new Uint8Array(rows * inner).fill(255), [rows, inner]),
    w: new ort.Tensor("int8", new Int8Array(inner * columns).fill(127), [inner, columns]),
  });
  await session.release();
  return (y!.data as Int32Array).every((sum) => sum === inner * 255 * 127) ? 127 : 63;
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
