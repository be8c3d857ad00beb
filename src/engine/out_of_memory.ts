import { PeftError } from "../errors.js";
import { codeOf, messageOf } from "../narrow.js";
import type { Fault } from "./messages.js";

/** The cause of errors that more memory would have kept away. */
export const OUT_OF_MEMORY = "out of memory";

/** Whether an error of Node's or ONNX Runtime's says that memory could not be had. */
export function isOutOfMemory(error: unknown): boolean {
  if (codeOf(error) === "ERR_WORKER_OUT_OF_MEMORY") return true;
  return /bad_?alloc|out of memory|allocat\w* (failed|memory)|failed to allocate|Invalid typed array length/i.test(
    messageOf(error),
  );
}

/** The error that a fault of the worker's stands for. */
export function errorOf({ isOutOfMemory: cause, ...fault }: Fault): PeftError {
  return new PeftError(fault.code, cause ? { ...fault, cause: OUT_OF_MEMORY } : fault);
}
