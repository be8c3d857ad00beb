import { type Recording, soundFault } from "./recording.js";

/** What the "fmt " chunk says of the samples. */
interface Form {
  readonly code: number;
  readonly channels: number;
  readonly samplingRate: number;
  readonly bits: number;
}

/** One sample at a byte of the file. */
type ReadSample = (view: DataView, at: number, little: boolean) => number;

/** Lengths from here on are those of writers that did not know them: all up to the end of the file counts. */
const STREAMED = 0x7ff00000;
const MOST_CHANNELS = 256;
const EXTENSIBLE = 0xfffe;

/** Whether bytes begin as a WAV file does. */
export function isWav(bytes: Uint8Array): boolean {
  return ["RIFF", "RIFX", "RF64"].includes(tag(bytes, 0)) && tag(bytes, 8) === "WAVE";
}

/**
 * A WAV file in any of its forms: PCM of 8 to 32 bits, floats, mu-law and A-law, extensible headers, RF64 and
 * big-endian RIFX; chunks of other kinds are passed over.
 * @param at where the bytes are from, for messages
 * @throws "file-format" where it is cut short or of a form that is not read
 */
export function readWav(bytes: Uint8Array, at: string): Recording {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = tag(bytes, 0) !== "RIFX";
  let form: Form | undefined;
  for (let chunk = 12; chunk + 8 <= bytes.length; ) {
    const length = view.getUint32(chunk + 4, little);
    const start = chunk + 8;
    const left = bytes.length - start;
    const name = tag(bytes, chunk);
    if (name === "fmt ") form = readForm(view, start, Math.min(length, left), little, at);
    if (name === "data") {
      if (form === undefined) throw soundFault(at, "its samples stand before the header that describes them");
      if (length > left && length < STREAMED)
        throw soundFault(at, `it ends after ${left} of ${length} bytes of samples: it was cut short`);
      return readSamples(view, start, Math.min(length, left), form, little, at);
    }
    chunk = start + length + (length % 2);
  }
  throw soundFault(at, form === undefined ? "it has no header of its samples" : "it has no samples");
}

function readForm(view: DataView, start: number, length: number, little: boolean, at: string): Form {
  if (length < 16) throw soundFault(at, `the header of its samples has ${length} bytes, not 16 or more`);
  const said = view.getUint16(start, little);
  const code = said === EXTENSIBLE && length >= 26 ? view.getUint16(start + 24, little) : said;
  const channels = view.getUint16(start + 2, little);
  if (channels < 1 || channels > MOST_CHANNELS)
    throw soundFault(at, `it says that it has ${channels} channels, and 1 to ${MOST_CHANNELS} are read`);
  return {
    ...{ code, channels, samplingRate: view.getUint32(start + 4, little) },
    bits: view.getUint16(start + 14, little),
  };
}

function readSamples(
  view: DataView,
  start: number,
  length: number,
  { code, channels, samplingRate, bits }: Form,
  little: boolean,
  at: string,
): Recording {
  const read = FORMS[`${code} ${bits}`];
  if (read === undefined)
    throw soundFault(at, `its samples are of format ${code} with ${bits} bits, which is not read here`);
  const size = bits / 8;
  const count = Math.floor(length / size / channels) * channels;
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = read(view, start + i * size, little);
  return { data, channels, samplingRate };
}

/** Formats by their number and bits. */
const FORMS: Readonly<Record<string, ReadSample>> = {
  "1 8": (view, at) => (view.getUint8(at) - 128) / 2 ** 7,
  "1 16": (view, at, little) => view.getInt16(at, little) / 2 ** 15,
  "1 24": (view, at, little) => int24(view, at, little) / 2 ** 23,
  "1 32": (view, at, little) => view.getInt32(at, little) / 2 ** 31,
  "3 32": (view, at, little) => view.getFloat32(at, little),
  "3 64": (view, at, little) => view.getFloat64(at, little),
  "6 8": (view, at) => aLaw(view.getUint8(at)) / 2 ** 15,
  "7 8": (view, at) => muLaw(view.getUint8(at)) / 2 ** 15,
};

function int24(view: DataView, at: number, little: boolean): number {
  const [low, high] = little ? [at, at + 2] : [at + 2, at];
  return view.getUint8(low) + view.getUint8(at + 1) * 2 ** 8 + view.getInt8(high) * 2 ** 16;
}

/** ITU-T G.711, mu-law: 8 bits of sign, exponent and fraction, all inverted. */
function muLaw(code: number): number {
  const bits = ~code & 0xff;
  const size = (((bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4);
  return (bits & 0x80) === 0 ? size - 0x84 : 0x84 - size;
}

/** ITU-T G.711, A-law: every second bit is inverted. */
function aLaw(code: number): number {
  const bits = code ^ 0x55;
  const exponent = (bits & 0x70) >> 4;
  const fraction = ((bits & 0x0f) << 4) + (exponent === 0 ? 8 : 0x108);
  const size = exponent === 0 ? fraction : fraction << (exponent - 1);
  return (bits & 0x80) === 0 ? -size : size;
}

function tag(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}
