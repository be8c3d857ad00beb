import { type Files, nodeFiles } from "./files.js";

/** Of each file so many pieces are read, evenly spread. */
const PIECES = 64;
const PIECE_BYTES = 1 << 14;

/**
 * Tells one model from another: SHA-256 over config.json and the weight files' names, sizes and pieces.
 * Reading all of a checkpoint would take longer than many runs; what is trained differs everywhere.
 */
export async function modelHash(folder: string, files: Files = nodeFiles): Promise<string> {
  const names = (await files.list(folder)).filter(
    (name) => name === "config.json" || /^(model|pytorch_model).*\.(safetensors|bin)$/.test(name),
  );
  const known = await Promise.all(names.map(async (name) => [name, ...(await piecesOf(name))]));
  return hexOf(new TextEncoder().encode(JSON.stringify(known)));

  async function piecesOf(name: string): Promise<unknown[]> {
    const path = files.join(folder, name);
    const size = await files.size(path);
    const length = Math.min(PIECE_BYTES, size);
    const last = size - length;
    const count = last === 0 ? 1 : PIECES;
    const places = Array.from({ length: count }, (_, i) => Math.floor((last * i) / Math.max(count - 1, 1)));
    return [
      size,
      ...(await Promise.all(places.map(async (at) => hexOf(await files.read(path, at, length))))),
    ];
  }
}

async function hexOf(bytes: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes.slice());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
