import { expect, it } from "vitest";
import type { EvaluationEvent } from "./events.js";
import { crc32c, firstRecord, recordOf } from "./tensorboard.js";

it("crc32c: the check value of RFC 3720", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
});

// tools/golden/tensorboard_records.py
const first = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
const evaluation =
  "36000000000000004f578cef09000000000000f83f10ac022a280a100a096576616c2f6c6f7373150000003f0a140a0d6576616c2f6163637572616379150000403fef96a2a2";

it("records as TensorBoard's own writer frames them", () => {
  const event: EvaluationEvent = { type: "evaluation", step: 300, loss: 0.5, metrics: { accuracy: 0.75 } };
  const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");
  expect(hex(firstRecord(1.5))).toBe(first);
  expect(hex(recordOf(event, 1.5))).toBe(evaluation);
  expect(recordOf({ type: "warning", message: "none" }, 1)).toBeUndefined();
});
