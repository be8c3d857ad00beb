import { expectArgument, refuseUnknown } from "../../arguments.js";
import { nodeFiles } from "../../hub/files.js";
import { isRecord } from "../../narrow.js";
import { decodeImage, readImageHeader } from "./decode.js";
import { expectImage, type RawImage } from "./raw_image.js";

/** A picture: its file's path, the file's bytes, both of them as data sets store them, or its pixels. */
export type ImageSource =
  | string
  | Uint8Array
  | { readonly bytes?: Uint8Array | null | undefined; readonly path?: string | null | undefined }
  | RawImage;

/** How a picture is read. */
export interface ReadImageOptions {
  /** Turned as EXIF says, red, green and blue alone; or as the file has it. @default "upright" */
  readonly as?: "upright" | "stored" | undefined;
  /** What errors call it. @default its path */
  readonly name?: string | undefined;
}

/**
 * A picture's pixels. Red, green and blue of an upright picture by default; `stored`: as its file has them.
 * @throws "data" where it cannot be read
 */
export async function readImage(source: ImageSource, options: ReadImageOptions = {}): Promise<RawImage> {
  refuseUnknown("readImage", options, { as: {}, name: {} });
  if (isRecord(source) && "width" in source) return expectImage(source as RawImage);
  const { as, name = "" } = options;
  const { bytes, path = "" } = partsOf(source as Exclude<ImageSource, RawImage>);
  const named = [name, path].filter((part) => part !== "").join(", ");
  return decodeImage(bytes ?? (await nodeFiles.read(path, 0, await nodeFiles.size(path))), {
    as,
    ...(named === "" ? {} : { at: named }),
  });
}

/** Throws "data" where a picture's file is not there, says that it is none, or is too large. */
export async function checkImage(source: ImageSource): Promise<void> {
  if (isRecord(source) && "width" in source) expectImage(source as RawImage);
  else {
    const { bytes, path = "" } = partsOf(source as Exclude<ImageSource, RawImage>);
    await readImageHeader(bytes ?? path, path === "" ? undefined : path);
  }
}

/** Throws "option" where there is neither a path nor bytes. */
function partsOf(source: Exclude<ImageSource, RawImage>): { bytes?: Uint8Array; path?: string } {
  if (source instanceof Uint8Array) return { bytes: source };
  const { bytes, path } = typeof source === "string" ? { bytes: undefined, path: source } : (source ?? {});
  const named = typeof path === "string" ? { path } : {};
  if (bytes instanceof Uint8Array) return { bytes, ...named };
  expectArgument("readImage", source, {
    is: typeof path === "string",
    wants: "a picture",
    fix: "give a path, the bytes of a file, or { data, width, height, channels }.",
  });
  return named;
}
