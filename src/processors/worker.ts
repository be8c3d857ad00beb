import { parentPort } from "node:worker_threads";
import { PeftError } from "../errors.js";
import { messageOf } from "../narrow.js";
import type { Answer, ErrorText } from "./column_workers.js";
import { type MediaRequest, type MediaResult, makeColumns } from "./columns.js";

// The thread that makes columns. It answers requests one after another.

let last: Promise<void> = Promise.resolve();

parentPort?.on("message", ({ id, request }: { id: number; request: MediaRequest }) => {
  last = last.then(async () => {
    let answer: Answer;
    try {
      answer = { id, result: await makeColumns(request) };
    } catch (error) {
      answer = { id, error: textOf(error) };
    }
    parentPort?.postMessage(answer, "result" in answer ? buffersOf(answer.result) : []);
  });
});

/** Numbers are handed over, not copied. */
function buffersOf({ columns }: MediaResult): ArrayBuffer[] {
  return Object.values(columns).flatMap(({ data }) =>
    data.buffer instanceof ArrayBuffer ? data.buffer : [],
  );
}

function textOf(error: unknown): ErrorText {
  if (!(error instanceof PeftError)) return { message: messageOf(error) };
  const { code, what, why, fix, message } = error;
  return { code, message, what, why, fix };
}
