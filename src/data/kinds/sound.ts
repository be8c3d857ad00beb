import type { SoundSource } from "../../processors/sound/load.js";
import type { SoundRow } from "../row.js";
import { isObject, show } from "../tables/values.js";
import { readLabelled, settleClasses } from "./classify.js";
import { type Entry, type Kind, refuseEntry, type Slot } from "./kind.js";
import { inFolder } from "./picture.js";

/** Columns that hold a clip, or its path. */
export const soundSlot: Slot = {
  names: ["audio", "sound", "clip", "speech", "file_name", "filename", "audio_path", "path", "file", "wav"],
};

/** A clip with a class, several classes, or a number; without labels it is there to be asked about. */
export const sound: Kind<SoundRow> = {
  kind: "sound",
  slots: {
    audio: soundSlot,
    label: { names: ["label", "labels", "category", "class", "intent", "emotion", "score"], optional: true },
  },
  labels: { slot: "label", parts: (value) => [value], settle: settleClasses },
  convert: (entries, faults, options) =>
    readLabelled(entries, faults, options, (entry, labels, of) => {
      const ids = labels();
      const audio = soundOf(entry);
      return ids && { kind: "sound" as const, at: entry.at, audio, labels: ids, ...of };
    }),
};

/** A path, a file's bytes, or samples, in any form that data sets have. */
export function soundOf({ values, folder }: Entry): SoundSource {
  const value = values["audio"];
  if (typeof value === "string" && value.trim() !== "") return inFolder(value, folder);
  if (value instanceof Uint8Array) return value;
  if (isObject(value)) {
    const { bytes, path, array } = value;
    const samplingRate = value["samplingRate"] ?? value["sampling_rate"];
    if (bytes instanceof Uint8Array) return bytes;
    if ((Array.isArray(array) || array instanceof Float32Array) && typeof samplingRate === "number")
      return { array: Float32Array.from(array), samplingRate };
    if (typeof path === "string") return inFolder(path, folder);
  }
  return refuseEntry(`audio is ${show(value)}, not a path, a file's bytes or { array, samplingRate }`);
}
