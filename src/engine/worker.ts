import { parentPort } from "node:worker_threads";
import type { HostTensor, Reply, Request, RunResult } from "./messages.js";
import { Sessions } from "./sessions.js";

let sessions: Sessions | undefined;
let queue: Promise<void> = Promise.resolve();

parentPort!.on("message", ({ id, request }: { id: number; request: Request }) => {
  queue = queue.then(async () => {
    let reply: Reply;
    try {
      if (request.kind === "open") sessions = new Sessions(request.options, request.weights);
      const value = request.kind === "open" ? undefined : await sessions!.handle(request);
      reply = { id, ok: true, value };
    } catch (error) {
      reply = { id, ok: false, message: error instanceof Error ? error.message : String(error) };
    }
    parentPort!.postMessage(reply, transferable(reply));
  });
});

function transferable(reply: Reply): ArrayBuffer[] {
  if (!reply.ok || reply.value === undefined || reply.value === null) return [];
  const { outputs, packed } = reply.value as RunResult;
  const tensors = Object.values(outputs) as HostTensor[];
  return [packed.buffer as ArrayBuffer, ...tensors.map((t) => t.data.buffer as ArrayBuffer)];
}
