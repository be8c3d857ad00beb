import type { ImageSource } from "../../processors/pictures/image_source.js";
import type { PictureRow } from "../row.js";
import { isObject, show } from "../tables/values.js";
import { readLabelled, settleClasses } from "./classify.js";
import { type Entry, type Kind, refuseEntry } from "./kind.js";

/**
 * A picture's file with a class, several classes, or a number, as `classify` reads them; without labels it is
 * there to be asked about. Paths are relative to the file that names them.
 */
export const picture: Kind<PictureRow> = {
  kind: "picture",
  slots: {
    image: {
      names: ["image", "img", "picture", "photo", "file_name", "filename", "image_path", "path", "file"],
    },
    label: { names: ["label", "labels", "category", "class", "score"], optional: true },
  },
  labels: { slot: "label", parts: (value) => [value], settle: settleClasses },
  convert: (entries, faults, options) =>
    readLabelled(entries, faults, options, (entry, labels, of) => {
      const image = imageOf(entry);
      const ids = labels();
      return ids && { kind: "picture" as const, at: entry.at, image, labels: ids, ...of };
    }),
};

/** What the slot "image" refers to. */
export function imageOf({ values, folder }: Entry): ImageSource {
  const value = values["image"];
  if (typeof value === "string" && value.trim() !== "") return inFolder(value, folder);
  if (value instanceof Uint8Array) return value;
  if (isObject(value)) {
    const { bytes, path } = value;
    const name = typeof path === "string" ? path : undefined;
    if (bytes instanceof Uint8Array) return { bytes, path: name };
    if (name !== undefined) return inFolder(name, folder);
    const { data, width, height, channels } = value;
    if (data instanceof Uint8Array && [width, height, channels].every(Number.isInteger))
      return {
        data,
        width: Number(width),
        height: Number(height),
        channels: Number(channels) as 1 | 2 | 3 | 4,
      };
  }
  return refuseEntry(`image is ${show(value)}, not a path or a file's bytes`);
}

/** A path as it stands in a file, from where that file lies. */
export function inFolder(path: string, folder: string | undefined): string {
  const isWhole = folder === undefined || /^([/\\]|[A-Za-z]:[/\\])/.test(path);
  return isWhole ? path : `${folder}/${path}`;
}
