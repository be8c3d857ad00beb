import { at } from "../present.js";
import type { TrainEvent } from "./events.js";
import { scalarsOf } from "./scalars.js";

// TensorBoard's event files: records of protobuf messages, each framed by its length and two checksums.
// Reference: tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto, summary.proto

/** The record that a file begins with. @param seconds since 1970 */
export function firstRecord(seconds: number): Uint8Array {
  return framed([...wallTime(seconds), ...bytesField(3, encoder.encode("brain.Event:2"))]);
}

/** An event's numbers as one record; undefined: it has none. @param seconds since 1970 */
export function recordOf(event: TrainEvent, seconds: number): Uint8Array | undefined {
  const values = scalarsOf(event);
  if (values.length === 0 || !("step" in event)) return undefined;
  const summary = values.flatMap(([tag, value]) =>
    bytesField(1, [...bytesField(1, encoder.encode(tag)), ...floatField(2, value)]),
  );
  return framed([...wallTime(seconds), 2 << 3, ...varint(event.step), ...bytesField(5, summary)]);
}

const encoder = new TextEncoder();

/** Field 1, a double. */
function wallTime(seconds: number): number[] {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, seconds, true);
  return [(1 << 3) | 1, ...new Uint8Array(view.buffer)];
}

function floatField(field: number, value: number): number[] {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value, true);
  return [(field << 3) | 5, ...new Uint8Array(view.buffer)];
}

function bytesField(field: number, bytes: ArrayLike<number>): number[] {
  return [(field << 3) | 2, ...varint(bytes.length), ...Array.from(bytes)];
}

/** Seven bits a byte, the lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

/** length (8 bytes), its checksum (4), the message, its checksum (4) */
function framed(message: readonly number[]): Uint8Array {
  const record = new Uint8Array(message.length + 16);
  const view = new DataView(record.buffer);
  view.setUint32(0, message.length, true);
  view.setUint32(8, masked(record.subarray(0, 8)), true);
  record.set(message, 12);
  view.setUint32(12 + message.length, masked(record.subarray(12, 12 + message.length)), true);
  return record;
}

/** rotate(crc32c, 15) + 0xa282ead8: checksums of data that holds checksums would else be weak. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Castagnoli's polynomial, its bits reversed. */
const POLYNOMIAL = 0x82f63b78;
const remainders = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ POLYNOMIAL : rest >>> 1;
  return rest;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = at(remainders, (crc ^ byte) & 255) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
