import { internal, PeftError } from "../../errors.js";
import { messageOf } from "../../narrow.js";
import { OnnxGraph } from "../onnx/onnx.js";
import { createSession, ort } from "./ort.js";

/**
 * The largest int8 weight whose products are right here: kernels without VNNI add pairs of products in 16
 * bits, where 2 * 255 * 127 does not fit and 2 * 255 * 63 does. Nothing tells but a product that would
 * overflow.
 */
export async function largestInt8(): Promise<127 | 63> {
  const [rows, inner, columns] = [16, 256, 64];
  const o = new OnnxGraph();
  const inputs = [o.input("x", "u8", [rows, inner]), o.input("w", "i8", [inner, columns])];
  o.nodes("MatMulInteger", inputs, {}, ["y"]);
  o.output("y", "i32", [rows, columns]);
  const session = await createSession(o.model());
  const { y } = await session.run({
    x: new ort.Tensor("uint8", new Uint8Array(rows * inner).fill(255), [rows, inner]),
    w: new ort.Tensor("int8", new Int8Array(inner * columns).fill(127), [inner, columns]),
  });
  await session.release();
  if (!(y?.data instanceof Int32Array)) return internal("a product of bytes is no i32");
  return y.data.every((sum) => sum === inner * 255 * 127) ? 127 : 63;
}

/** Devices that this build of ONNX Runtime knows and that a session can be made on. */
export async function workingDevices(): Promise<string[]> {
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
    const session = await createSession(o.model(), { executionProviders: [device] });
    await session.release();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
