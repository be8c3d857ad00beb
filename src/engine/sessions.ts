import { internal } from "../errors.js";
import type { DimSource } from "../graph/dims.js";
import { solveDim } from "../graph/dims.js";
import { keysOf } from "../narrow.js";
import { at } from "../present.js";
import { arranged, writeEntries } from "./arrange.js";
import { Buffers } from "./buffers.js";
import { CompiledProgram } from "./compiled.js";
import { ort } from "./devices/ort.js";
import { checkDevice } from "./devices/probe.js";
import type { PartTensor } from "./formats/format.js";
import { elements } from "./formats/format.js";
import type {
  Answer,
  EngineOptions,
  Feed,
  HostTensor,
  Request,
  RunRequest,
  RunResult,
  Schedule,
  Step,
  WeightSource,
} from "./messages.js";
import { dimSources } from "./program.js";
import type { Dims } from "./region.js";
import { WeightStore } from "./weights/store.js";

/** The worker's side of the engine: sessions on ONNX Runtime, weights, and tensors kept between runs. */
export class Sessions {
  readonly #options: EngineOptions;
  readonly #store: WeightStore;
  /** In the order of last use. */
  readonly #programs: Map<string, CompiledProgram> = new Map();
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
    if (options.device !== "cpu") await checkDevice(options.device);
    return new Sessions(options, weights);
  }

  async handle(
    request: Exclude<Request, { kind: "open" | "devices" | "device" | "largest int8" | "close" }>,
  ): Promise<Answer> {
    switch (request.kind) {
      case "compile":
        this.#add(request.schedule);
        this.#schedules.set(request.name, { ...request.schedule, programs: [] });
        return undefined;
      case "run":
        return this.#run(request.request);
      case "put":
        for (const [name, tensor] of Object.entries(request.tensors)) this.#hold(name, toOrt(tensor));
        return undefined;
      case "arrange":
        for (const { name, tensor } of arranged(request.arrangement, this.#held, this.#buffers))
          this.#keepHeld(name, tensor);
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

  /** Bytes that stay between runs: buffers, and what sessions take. */
  get memory(): { readonly buffers: number; readonly sessions: number } {
    const sessions = [...this.#programs.values()].reduce((n, { memory }) => n + memory, 0);
    return { buffers: this.#buffers.total, sessions };
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

  #add({ programs, dims }: Schedule): void {
    const pooled = Object.keys(dims).length > 0;
    for (const program of programs)
      if (!this.#programs.has(program.name))
        this.#programs.set(program.name, new CompiledProgram(program, pooled, this.#options, this.#store));
  }

  /** Sessions that have weights bound are of no use once these change. */
  async #drop(): Promise<void> {
    for (const program of this.#programs.values()) await program.release();
    this.#programs.clear();
    this.#schedules.clear();
  }

  /**
   * Releases sessions that the schedule under way has no use for, where a new one would take arenas beyond
   * what they may.
   */
  async #makeRoom(bytes: number, allowed: number, used: ReadonlySet<string>): Promise<void> {
    for (const [name, program] of [...this.#programs]) {
      const all = [...this.#programs.values()].reduce((n, { memory }) => n + memory, bytes);
      if (all <= allowed) return;
      if (!used.has(name)) await program.release();
    }
  }

  async #run(request: RunRequest): Promise<RunResult> {
    const { steps, results, dims } =
      this.#schedules.get(request.schedule) ?? internal(`schedule ${request.schedule} is not compiled`);
    this.#store.check();
    const used = new Set(steps.map(({ program }) => program));
    const makeRoom = (bytes: number): Promise<void> => this.#makeRoom(bytes, request.arenas, used);
    const feeds = Object.fromEntries(
      Object.entries(request.feeds).map(([name, feed]) => [name, this.#feed(feed)]),
    );
    const values = new Map(Object.entries(feeds));
    for (const [name, size] of solveDims(Object.entries(dims), feeds))
      values.set(`dim:${name}`, emptyOf(size));
    const result = (name: string): ort.Tensor =>
      values.get(results[name] ?? "") ?? internal(`no result "${name}"`);
    try {
      for (const [i, step] of steps.entries()) {
        await this.#step(step, at(steps, (i + 1) % steps.length), values, makeRoom);
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
    makeRoom: (bytes: number) => Promise<void>,
  ): Promise<void> {
    const program = this.#used(step.program);
    const value = (name: string): ort.Tensor => values.get(name) ?? numberOf(name);
    const feeds: Record<string, ort.Tensor> = {};
    const weights = { ...this.#store.feeds(program.held), ...(await this.#store.fed(step.weights)) };
    for (const [input, part] of Object.entries(weights)) feeds[input] = this.#partTensor(part);
    for (const [input, name] of Object.entries(step.inputs)) feeds[input] = value(name);
    this.#store.prefetch(next.weights, step.weights);
    const dims = solveDims(dimSources(program.named.program), feeds);
    const { session, request } = await program.sessionFor(dims, makeRoom);
    const given = this.#outputs(program, step, dims);
    const made = await session.run({ ...feeds, ...request }, given);
    for (const [output, name] of Object.entries(step.outputs)) {
      const tensor = given[output] ?? made[output] ?? internal(`${step.program} has no output "${output}"`);
      const known = values.get(name);
      if (known === undefined) values.set(name, tensor);
      else {
        addTo(known, tensor);
        this.#giveBack(tensor);
      }
    }
  }

  #used(name: string): CompiledProgram {
    const program = this.#programs.get(name) ?? internal(`program ${name} is not compiled`);
    this.#programs.delete(name);
    this.#programs.set(name, program);
    return program;
  }

  /** Where a step's results go: large ones into buffers that served before. */
  #outputs(program: CompiledProgram, step: Step, dims: Dims): Record<string, ort.Tensor | null> {
    const outputs: Record<string, ort.Tensor | null> = {};
    for (const name of Object.keys(step.outputs)) outputs[name] = null;
    for (const { name, dtype, shape, bytes } of program.ownResults(dims)) {
      if (!(name in outputs)) continue;
      const buffer = this.#buffers.take(bytes);
      const count = elements(shape);
      const tensor =
        dtype === "f32"
          ? new ort.Tensor("float32", new Float32Array(buffer, 0, count), shape)
          : new ort.Tensor("bool", new Uint8Array(buffer, 0, count), shape);
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
    { keep, pack, entries }: RunRequest,
    result: (name: string) => ort.Tensor,
    names: readonly string[],
  ): RunResult {
    const packedNames = new Set(pack);
    const outputs: Record<string, HostTensor> = {};
    for (const name of names) {
      const [kept, into] = [keep[name], entries[name]];
      if (into !== undefined) writeEntries(this.#heldAs(into.held), result(name), into.entry);
      else if (kept !== undefined) this.#keep(kept, result(name));
      else if (!packedNames.has(name)) outputs[name] = fromOrt(result(name));
    }
    const parts = pack.map((name) => floatsOf(result(name)));
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

  #keepHeld(name: string, tensor: ort.Tensor): void {
    this.#kept.add(tensor);
    this.#hold(name, tensor);
  }

  #feed(feed: Feed): ort.Tensor {
    return "held" in feed ? this.#heldAs(feed.held) : toOrt(feed);
  }

  #heldAs(name: string): ort.Tensor {
    return this.#held.get(name) ?? internal(`nothing is held as "${name}"`);
  }
}

function floatsOf({ data, type }: ort.Tensor): Float32Array {
  return data instanceof Float32Array ? data : internal(`a value of type ${type}, not f32`);
}

function bufferOf(tensor: ort.Tensor): ArrayBuffer {
  const { data, type } = tensor;
  return !Array.isArray(data) && data.buffer instanceof ArrayBuffer
    ? data.buffer
    : internal(`a value of type ${type} without a buffer of its own`);
}

/** Values of dimensions, in the order of their sources, of which later ones need earlier ones. */
function solveDims(
  sources: Iterable<readonly [name: string, source: DimSource<string>]>,
  values: Readonly<Record<string, ort.Tensor>>,
): Map<string, number> {
  const solved = new Map<string, number>();
  for (const [name, source] of sources) {
    const { dims } = values[source.value] ?? internal(`no value "${source.value}"`);
    solved.set(name, solveDim(source, dims, solved));
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
  const [a, b] = [floatsOf(total), floatsOf(part)];
  for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
}

/** 16 bits cross the border as integers. */
const PART_TYPE = { f32: "float32", f16: "uint16", bf16: "uint16", i8: "int8", u8: "uint8" } as const;
const ORT_TYPE = { f32: "float32", i64: "int64", i32: "int32", bool: "bool" } as const;

function toOrt({ dtype, shape, data }: HostTensor): ort.Tensor {
  if (dtype === "i64") return new ort.Tensor("int64", widened(data), shape);
  if (dtype === "bool") return new ort.Tensor("bool", Uint8Array.from(data), shape);
  return data instanceof Float32Array
    ? new ort.Tensor("float32", data, shape)
    : new ort.Tensor("int32", data, shape);
}

/** i32 to i64, both halves of each at once. */
function widened(data: Int32Array | Float32Array): BigInt64Array {
  const halves = new Int32Array(2 * data.length);
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    halves[2 * i] = value;
    halves[2 * i + 1] = value >> 31;
  }
  return new BigInt64Array(halves.buffer);
}

function fromOrt(tensor: ort.Tensor): HostTensor {
  const dtype = keysOf(ORT_TYPE).find((d) => ORT_TYPE[d] === tensor.type);
  if (dtype === undefined) return internal(`a result of type ${tensor.type}`);
  const { data } = tensor;
  if (data instanceof Float32Array || data instanceof Int32Array) return { dtype, shape: tensor.dims, data };
  return { dtype, shape: tensor.dims, data: Int32Array.from<unknown>(data, Number) };
}
