import { parentPort, workerData } from "node:worker_threads";
import { internal, PeftError } from "../errors.js";
import { ort } from "./devices/ort.js";
import { checkDevice, largestInt8, workingDevices } from "./devices/probe.js";
import { enter, type Gate, leave } from "./gate.js";
import type { Fault, HostTensor, Reply, Request, RunResult } from "./messages.js";
import { isOutOfMemory, messageOf } from "./out_of_memory.js";
import { Sessions } from "./sessions.js";

const gate = workerData as Gate;
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

async function handle(request: Request): Promise<unknown> {
  if (request.kind === "close") return await sessions?.close();
  if (!enter(gate)) return internal("the engine was closed");
  try {
    if (request.kind === "devices") return await workingDevices();
    if (request.kind === "largest int8") return await largestInt8();
    if (request.kind === "version") return ort.env.versions.node;
    if (request.kind === "device") return await checkDevice(request.device);
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
  if (!reply.ok || typeof reply.value !== "object" || reply.value === null) return [];
  if (Array.isArray(reply.value)) return [];
  const { outputs, packed } = reply.value as RunResult;
  const tensors = Object.values(outputs) as HostTensor[];
  return [packed.buffer as ArrayBuffer, ...tensors.map((t) => t.data.buffer as ArrayBuffer)];
}
