import { PeftError } from "../../errors.js";
import { messageOf } from "../../narrow.js";
import { expectImage, type RawImage, toRgb, turnUpright } from "./raw_image.js";

// Pictures' files, decoded by sharp (libvips), which is loaded when the first picture is.

type Sharp = typeof import("sharp")["default"];
type SharpImage = ReturnType<Sharp>;
type Metadata = Awaited<ReturnType<SharpImage["metadata"]>>;

/** Pixels of the largest picture that is decoded; Pillow's own limit, past which it speaks of a bomb. */
export const MOST_PIXELS = 178_956_970;

/** Formats by sharp's names; it would draw SVG and PDF too, which are no pictures of pixels. */
const FORMATS = ["jpeg", "png", "webp", "gif", "tiff", "heif", "jp2", "jxl"];

/** What a picture's file says of itself before it is decoded. */
export interface ImageHeader {
  readonly format: string;
  /** Pixels, before EXIF's turn. */
  readonly width: number;
  readonly height: number;
}

export interface DecodeOptions {
  /**
   * `upright`: as libraries open a path, turned as EXIF says, and the color alone of transparent parts.
   * `stored`: as the file has it, for whoever opens it and hands it to a processor.
   */
  readonly as?: "upright" | "stored" | undefined;
  /** The file in errors. @default "the picture" */
  readonly at?: string | undefined;
}

let loading: Promise<Sharp> | undefined;

/** Throws "data" where pictures cannot be decoded: sharp is not installed, or not for this machine. */
export async function expectDecoder(): Promise<void> {
  await loadSharp();
}

function loadSharp(): Promise<Sharp> {
  loading ??= import("sharp").then(
    ({ default: sharp }) => {
      sharp.cache(false); // pictures are read once an epoch, and their pixels are many
      sharp.concurrency(1); // pictures are decoded beside each other, each by one thread
      return sharp;
    },
    (cause) => {
      loading = undefined;
      throw new PeftError("data", {
        what: "Pictures cannot be decoded here.",
        why: `that takes the package sharp, which is not installed (${messageOf(cause).split("\n")[0]}).`,
        fix: "install it beside peft.js: npm i sharp",
        cause,
      });
    },
  );
  return loading;
}

/** What a file says; its pixels are not read. Throws "data" where it is no picture, or too large. */
export async function readImageHeader(file: Uint8Array | string, at = "the picture"): Promise<ImageHeader> {
  return checked(await metadataOf(file, at), at);
}

/**
 * A picture out of a file's bytes. Of several frames, the first.
 * @throws "data" where the file is damaged, no picture, or has more pixels than `MOST_PIXELS`
 */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<RawImage> {
  const { as = "upright", at = "the picture" } = options;
  const metadata = await metadataOf(bytes, at);
  checked(metadata, at);
  const stored = await pixelsOf(await open(bytes), metadata, at);
  if (as === "stored") return stored;
  return toRgb(turnUpright(stored, metadata.orientation ?? 1), "drop");
}

/** A damaged file is an error as Pillow has it: what only warns is read. */
async function open(
  file: Uint8Array | string,
  limitInputPixels: number | false = MOST_PIXELS,
): Promise<SharpImage> {
  const sharp = await loadSharp();
  return sharp(file, { failOn: "error", ignoreIcc: true, limitInputPixels });
}

async function metadataOf(file: Uint8Array | string, at: string): Promise<Metadata> {
  try {
    return await (await open(file, false)).metadata();
  } catch (cause) {
    throw cause instanceof PeftError ? cause : damaged(at, cause);
  }
}

function checked({ format, width, height }: Metadata, at: string): ImageHeader {
  if (!FORMATS.includes(format))
    throw new PeftError("data", {
      what: `${at}: a picture of the format ${format}.`,
      why: "JPEG, PNG, WebP, GIF, TIFF and AVIF are read.",
      fix: "save it as PNG.",
    });
  if (width * height > MOST_PIXELS)
    throw new PeftError("data", {
      what: `${at}: a picture of ${width} x ${height} pixels.`,
      why: `more than ${MOST_PIXELS} pixels are not decoded: a small file can hold them, and fill the memory.`,
      fix: "make it smaller, or leave it out.",
    });
  return { format, width, height };
}

async function pixelsOf(image: SharpImage, { space, channels }: Metadata, at: string): Promise<RawImage> {
  const isWideGray = space === "grey16" && channels === 1;
  const isCmyk = space === "cmyk";
  const wanted = isWideGray
    ? image.pipelineColourspace("grey16").toColourspace("grey16").raw({ depth: "ushort" })
    : isCmyk
      ? image.pipelineColourspace("cmyk").toColourspace("cmyk").raw()
      : channels === 1
        ? image.toColourspace("b-w").raw()
        : image.raw();
  try {
    const { data, info } = await wanted.toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    if (isWideGray) return { data: cutAt255(data), width, height, channels: 1 };
    if (isCmyk) return { data: fromInk(data), width, height, channels: 3 };
    const raw = { data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height };
    return expectImage({ ...raw, channels: info.channels as RawImage["channels"] });
  } catch (cause) {
    throw cause instanceof PeftError ? cause : damaged(at, cause);
  }
}

/** Gray of 16 bits, as Pillow brings it to 8: what is above 255 is white. */
function cutAt255(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = bytes[2 * i + 1]! > 0 ? 255 : bytes[2 * i]!;
  return out;
}

/** Cyan, magenta, yellow and black without a profile: (255 - ink) (255 - black) / 255. */
function fromInk(ink: Uint8Array): Uint8Array {
  const out = new Uint8Array((ink.length / 4) * 3);
  for (let from = 0, to = 0; from < ink.length; from += 4) {
    const light = 255 - ink[from + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = ink[from + c]! * light + 128;
      out[to++] = Math.max(0, light - (((product >> 8) + product) >> 8));
    }
  }
  return out;
}

function damaged(at: string, cause: unknown): PeftError {
  return new PeftError("data", {
    what: `${at}: the picture cannot be read.`,
    why: `its bytes are damaged, cut short, or no picture (${messageOf(cause).split("\n")[0]}).`,
    fix: "replace the file, or leave it out.",
    cause,
  });
}
