import { parentPort, workerData } from "node:worker_threads";
import { internal, PeftError } from "../errors.js";
import { messageOf } from "../narrow.js";
import { ort } from "./devices/ort.js";
import { checkDevice, largestInt8, workingDevices } from "./devices/probe.js";
import { enter, type Gate, leave } from "./gate.js";
import type { Answer, Fault, Reply, Request } from "./messages.js";
import { isOutOfMemory } from "./out_of_memory.js";
import { Sessions } from "./sessions.js";

const gate: Gate = workerData;
const port = parentPort ?? internal("this file runs in a worker");
let sessions: Sessions | undefined;
let queue: Promise<void> = Promise.resolve();

port.on("messageerror", (error: Error) => {
  throw error; // whoever waits for an answer learns that the worker ended
});
port.on("message", ({ id, request }: { id: number; request: Request }) => {
  queue = queue.then(async () => {
    let reply: Reply;
    try {
      reply = { id, ok: true, value: await handle(request) };
    } catch (error) {
      reply = { id, ok: false, fault: faultOf(error) };
    }
    port.postMessage(reply, transferable(reply));
  });
});

async function handle(request: Request): Promise<Answer> {
  if (request.kind === "close") {
    await sessions?.close();
    return undefined;
  }
  if (!enter(gate)) return internal("the engine was closed");
  try {
    if (request.kind === "devices") return await workingDevices();
    if (request.kind === "largest int8") return await largestInt8();
    if (request.kind === "version") return ort.env.versions.node;
    if (request.kind === "device") {
      await checkDevice(request.device);
      return undefined;
    }
    if (request.kind !== "open") return await (sessions ?? internal("no engine was opened")).handle(request);
    sessions = await Sessions.open(request.options, request.weights);
    return undefined;
  } finally {
    leave(gate);
  }
}

function faultOf(error: unknown): Fault {
  if (error instanceof PeftError) {
    const { code, what, why, fix } = error;
    return { code, what, why, fix };
  }
  return {
    code: "engine",
    what: `ONNX Runtime failed: ${messageOf(error)}`,
    why: isOutOfMemory(error) ? "there was not enough memory." : "the session could not be made or run.",
    fix: "check the device (cpu works everywhere) and the memory that is free.",
    isOutOfMemory: isOutOfMemory(error),
  };
}

function transferable(reply: Reply): ArrayBuffer[] {
  if (!reply.ok || typeof reply.value !== "object" || !("packed" in reply.value)) return [];
  const { outputs, packed } = reply.value;
  const arrays = [packed, ...Object.values(outputs).map(({ data }) => data)];
  return arrays.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : []));
}
