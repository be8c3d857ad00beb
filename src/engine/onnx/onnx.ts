import { at } from "../../present.js";
import { ProtoWriter } from "./protobuf.js";

/** Element types of ONNX, by their numbers in TensorProto. */
export const ELEMENT = {
  f32: 1,
  u8: 2,
  i8: 3,
  u16: 4,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  u32: 12,
  bf16: 16,
} as const;
export type Element = keyof typeof ELEMENT;

export type Attribute = number | string | readonly number[] | { float: number } | { graph: OnnxGraph };

interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly outputs: readonly string[];
  readonly domain: string;
}

/** Undefined: nothing is said about it. */
export type ValueShape = readonly (number | string)[] | undefined;

/** Bytes of a file that serve as an initializer where they are. */
export interface External {
  readonly location: string;
  readonly offset: number;
  readonly bytes: number;
}

const IR_VERSION = 10;
const OPSET = 21;
const BIT_CAST_OPSET = 26;
const TENSOR_SCATTER_OPSET = 24;

/** Collects nodes, inputs and initializers of one ONNX graph. Values are referred to by name. */
export class OnnxGraph {
  readonly #proto: ProtoWriter = new ProtoWriter();
  readonly #nodes: Node[] = [];
  readonly #made: Set<string> = new Set();
  /** Results of nodes that are outputs, by the names that they were made under. */
  readonly #promoted: Map<string, string> = new Map();
  readonly #prefix: string;
  readonly #around: OnnxGraph | undefined;
  #count = 0;
  readonly #constants: Map<string, string> = new Map();
  readonly #once: Map<string, readonly string[]> = new Map();
  #opset = OPSET;

  /** `around`: the graph that it is the body of a node of. */
  constructor(prefix = "v", around?: OnnxGraph) {
    this.#prefix = prefix;
    this.#around = around;
  }

  /** A graph inside of a node of this one, whose values it may read. */
  body(prefix: string): OnnxGraph {
    return new OnnxGraph(prefix, this);
  }

  fresh(): string {
    return `${this.#prefix}${this.#count++}`;
  }

  /** Adds a node and names its results; "" for results not wanted. */
  nodes(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: readonly string[],
    domain = "",
  ): void {
    this.#nodes.push({ op, inputs, attributes, outputs, domain });
    for (const output of outputs) this.#made.add(output);
  }

  /** Adds a node with one result and returns its name. */
  node(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = "",
  ): string {
    const output = this.fresh();
    this.nodes(op, inputs, attributes, [output], domain);
    return output;
  }

  /** The same node once: for what several others read. */
  once(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = "",
  ): string {
    return at(this.onceNodes(op, inputs, attributes, 1, domain), 0);
  }

  /** The same for a node of several results. */
  onceNodes(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    count: number,
    domain = "",
  ): readonly string[] {
    const key = `${domain}${op}(${inputs})${JSON.stringify(attributes)}`;
    const known = this.#once.get(key);
    if (known !== undefined) return known;
    const outputs = Array.from({ length: count }, () => this.fresh());
    this.nodes(op, inputs, attributes, outputs, domain);
    this.#once.set(key, outputs);
    return outputs;
  }

  /** Bits of one type read as another of the same width. */
  bitCast(value: string, to: Element): string {
    this.#needs(BIT_CAST_OPSET);
    return this.node("BitCast", [value], { to: ELEMENT[to] });
  }

  /** x with rows in it from a place on, along its second last axis. */
  tensorScatter(x: string, rows: string, place: string): string {
    this.#needs(TENSOR_SCATTER_OPSET);
    return this.node("TensorScatter", [x, rows, place], { axis: -2 });
  }

  #needs(opset: number): void {
    this.#opset = Math.max(opset, this.#opset);
    if (this.#around !== undefined) this.#around.#needs(opset);
  }

  /** A node of ONNX Runtime's own operators. */
  contrib(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    return this.node(op, inputs, attributes, "com.microsoft");
  }

  input(name: string, element: Element, shape: ValueShape): string {
    this.#proto.message(11, valueInfo(name, element, shape));
    return name;
  }

  /** An input that is a sequence of tensors. */
  sequence(name: string, element: Element): string {
    this.#proto.message(11, sequenceInfo(name, element));
    return name;
  }

  /** An output that is one, by a value that a node makes. */
  sequenceOutput(value: string, name: string, element: Element): void {
    this.#promoted.set(value, name);
    this.#proto.message(12, sequenceInfo(name, element));
  }

  output(name: string, element: Element, shape: ValueShape): void {
    this.#proto.message(12, valueInfo(name, element, shape));
  }

  /** An output that is a value of the graph: by its name where a node makes it, else as a copy. */
  outputOf(value: string, name: string, element: Element, shape: ValueShape): void {
    if (this.#made.has(value) && !this.#promoted.has(value)) this.#promoted.set(value, name);
    else this.nodes("Identity", [value], {}, [name]);
    this.output(name, element, shape);
  }

  /** A small constant, once per value. */
  constant(element: Element, values: readonly number[], shape: readonly number[]): string {
    const key = `${element}[${shape}]${values.map((v) => (Object.is(v, -0) ? "-0" : v))}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.fresh();
    const tensor = tensorProto(name, element, shape);
    tensor.bytes(9, rawData(element, values));
    this.#proto.message(5, tensor);
    this.#constants.set(key, name);
    return name;
  }

  ints(values: readonly number[]): string {
    return this.constant("i64", values, [values.length]);
  }

  external(name: string, element: Element, shape: readonly number[], at: External): string {
    const tensor = tensorProto(name, element, shape);
    for (const [key, value] of Object.entries({
      location: at.location,
      offset: `${at.offset}`,
      length: `${at.bytes}`,
    }))
      tensor.message(13, new ProtoWriter().string(1, key).string(2, value));
    tensor.int(14, 1);
    this.#proto.message(5, tensor);
    return name;
  }

  /** `outside`: names of values of the graph around it. */
  graphProto(name: string, outside: (value: string) => string = (value) => value): ProtoWriter {
    const nameOf = (value: string): string => this.#promoted.get(value) ?? outside(value);
    for (const node of this.#nodes) this.#proto.message(1, nodeProto(node, nameOf));
    return this.#proto.string(2, name);
  }

  /** The whole model file. */
  model(): Uint8Array {
    const opsets = [
      new ProtoWriter().string(1, "").int(2, this.#opset),
      new ProtoWriter().string(1, "com.microsoft").int(2, 1),
    ];
    const model = new ProtoWriter()
      .int(1, IR_VERSION)
      .string(2, "peft.js")
      .message(7, this.graphProto("peft"));
    for (const opset of opsets) model.message(8, opset);
    return model.finish();
  }
}

function nodeProto(
  { op, inputs, attributes, outputs, domain }: Node,
  nameOf: (value: string) => string,
): ProtoWriter {
  const proto = new ProtoWriter();
  for (const input of inputs) proto.string(1, nameOf(input));
  for (const output of outputs) proto.string(2, nameOf(output));
  proto.string(4, op);
  for (const [name, value] of Object.entries(attributes))
    proto.message(5, attributeProto(name, value, nameOf));
  return domain === "" ? proto : proto.string(7, domain);
}

function attributeProto(name: string, value: Attribute, nameOf: (value: string) => string): ProtoWriter {
  const proto = new ProtoWriter().string(1, name);
  if (typeof value === "number") return proto.int(3, value).int(20, 2);
  if (typeof value === "string") return proto.string(4, value).int(20, 3);
  if ("float" in value) return proto.float(2, value.float).int(20, 1);
  if ("graph" in value) return proto.message(6, value.graph.graphProto("body", nameOf)).int(20, 5);
  for (const v of value) proto.int(8, v);
  return proto.int(20, 7);
}

function valueInfo(name: string, element: Element, shape: ValueShape): ProtoWriter {
  const tensor = new ProtoWriter().int(1, ELEMENT[element]);
  if (shape !== undefined) tensor.message(2, shapeProto(shape));
  return new ProtoWriter().string(1, name).message(2, new ProtoWriter().message(1, tensor));
}

function sequenceInfo(name: string, element: Element): ProtoWriter {
  const tensor = new ProtoWriter().message(1, new ProtoWriter().int(1, ELEMENT[element]));
  return new ProtoWriter()
    .string(1, name)
    .message(2, new ProtoWriter().message(4, new ProtoWriter().message(1, tensor)));
}

function shapeProto(shape: readonly (number | string)[]): ProtoWriter {
  const dims = new ProtoWriter();
  for (const d of shape)
    dims.message(1, typeof d === "number" ? new ProtoWriter().int(1, d) : new ProtoWriter().string(2, d));
  return dims;
}

function tensorProto(name: string, element: Element, shape: readonly number[]): ProtoWriter {
  const proto = new ProtoWriter();
  for (const d of shape) proto.int(1, d);
  return proto.int(2, ELEMENT[element]).string(8, name);
}

function rawData(element: Element, values: readonly number[]): Uint8Array {
  const typed =
    element === "f32"
      ? Float32Array.from(values)
      : element === "i64"
        ? BigInt64Array.from(values, (v) => BigInt(v))
        : element === "i32"
          ? Int32Array.from(values)
          : element === "u32"
            ? Uint32Array.from(values)
            : Uint8Array.from(values);
  return new Uint8Array(typed.buffer);
}
