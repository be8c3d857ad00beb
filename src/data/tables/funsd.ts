import type { TableOptions } from "./table.js";
import { isObject } from "./values.js";

interface Form {
  readonly form: readonly unknown[];
  readonly width?: unknown;
  readonly height?: unknown;
}

/** Whether a JSON file is a form as FUNSD has it: entities with their words. */
export function isFunsd(value: unknown): value is Form {
  return (
    isObject(value) && Array.isArray(value["form"]) && value["form"].every((e) => isObject(e) && "words" in e)
  );
}

/**
 * A form as a row: B- and I- with the entity's label, O for "other". Its boxes are in pixels of the picture
 * beside it (../images/NAME.png), whose size is the page's.
 */
export async function funsdRecord(
  form: Form,
  file: string,
  { reader }: TableOptions,
): Promise<Readonly<Record<string, unknown>> | string> {
  const entities = form.form.filter(isObject).flatMap((entity) => {
    const label = `${entity["label"] ?? "other"}`.toUpperCase();
    const words = Array.isArray(entity["words"]) ? entity["words"].filter(isObject) : [];
    const real = words.filter(({ text }) => typeof text !== "string" || text.trim() !== "");
    return real.map(({ text, box }, i) => ({
      text,
      box,
      tag: label === "OTHER" ? "O" : `${i === 0 ? "B" : "I"}-${label}`,
    }));
  });
  const image = file.replace(/(?:[^/\\]*[/\\])?([^/\\]*)\.json$/, "images/$1.png");
  const { width, height } = form;
  const size = typeof width === "number" ? { width, height } : await pngSize(image, reader);
  if (size === undefined)
    return `its boxes are in pixels, and ${image}, whose size is the page's, is not there: give width and height`;
  return {
    words: entities.map(({ text }) => text),
    boxes: entities.map(({ box }) => box),
    ner_tags: entities.map(({ tag }) => tag),
    ...{ ...size, image },
  };
}

/** Width and height of a PNG, from its header; undefined where there is none. */
async function pngSize(
  image: string,
  reader: TableOptions["reader"],
): Promise<{ width: number; height: number } | undefined> {
  const bytes = await reader.read(image, 0, 24).catch(() => undefined);
  if (bytes === undefined || bytes.length < 24 || bytes[1] !== 0x50 || bytes[2] !== 0x4e) return undefined;
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { width: header.getUint32(16), height: header.getUint32(20) };
}
