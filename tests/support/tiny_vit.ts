import { writeTinyModel } from "./tiny_model.js";

/** A folder with a ViT of random weights. */
export function writeTinyVit(folder: string): void {
  writeTinyModel(folder, "vit", {
    image_processor_type: "ViTImageProcessor",
    size: { height: 16, width: 16 },
  });
}

/** An uncompressed TIFF of one color with some noise: a picture that needs no encoder. */
export function tiffOf(width: number, height: number, color: readonly [number, number, number]): Uint8Array {
  const tags: [number, number, number][] = [
    [256, 3, width],
    [257, 3, height],
    [258, 3, 8],
    [259, 3, 1],
    [262, 3, 2],
    [273, 4, 8],
    [277, 3, 3],
    [278, 4, height],
    [279, 4, width * height * 3],
    [284, 3, 1],
  ];
  const pixels = Uint8Array.from(
    { length: width * height * 3 },
    (_, i) => (color[i % 3] ?? 0) + ((i * 37) % 23),
  );
  const at = 8 + pixels.length + (pixels.length % 2);
  const out = new Uint8Array(at + 2 + tags.length * 12 + 4);
  const view = new DataView(out.buffer);
  out.set([0x49, 0x49, 42, 0]);
  view.setUint32(4, at, true);
  out.set(pixels, 8);
  view.setUint16(at, tags.length, true);
  for (const [i, [tag, type, value]] of tags.entries()) {
    const from = at + 2 + 12 * i;
    view.setUint16(from, tag, true);
    view.setUint16(from + 2, type, true);
    view.setUint32(from + 4, 1, true);
    view.setUint32(from + 8, value, true);
  }
  return out;
}
