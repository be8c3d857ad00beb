/**
 * Memory that both threads see: whether the worker is inside ONNX Runtime, and whether it is to start nothing
 * more. A thread that is ended inside a run takes the whole process with it (onnxruntime-node throws where
 * nothing can catch), so whoever ends it,
 * `close` or the end of the process, shuts the gate and waits for the run that is under way.
 */
export type Gate = Int32Array<SharedArrayBuffer>;

const BUSY = 0;
const SHUT = 1;

export function openGate(): Gate {
  return new Int32Array(new SharedArrayBuffer(8));
}

/** The worker's way in: false where the gate is shut. */
export function enter(gate: Gate): boolean {
  Atomics.store(gate, BUSY, 1);
  if (Atomics.load(gate, SHUT) === 0) return true;
  leave(gate);
  return false;
}

export function leave(gate: Gate): void {
  Atomics.store(gate, BUSY, 0);
  Atomics.notify(gate, BUSY);
}

export function shut(gate: Gate): void {
  Atomics.store(gate, SHUT, 1);
}

/** Blocks until the worker has left, or for so many ms. */
export function waitUntilIdle(gate: Gate, atMost: number): void {
  Atomics.wait(gate, BUSY, 1, atMost);
}
