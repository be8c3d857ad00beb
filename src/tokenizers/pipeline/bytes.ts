/** GPT-2's table: every byte as a printable character. */
function makeTable(): string[] {
  const table: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table.push(String.fromCharCode(printable ? byte : next++));
  }
  return table;
}

let tables: { chars: string[]; bytes: Map<string, number> } | undefined;

function byteTables(): { chars: string[]; bytes: Map<string, number> } {
  if (!tables) {
    const chars = makeTable();
    tables = { chars, bytes: new Map(chars.map((char, byte) => [char, byte])) };
  }
  return tables;
}

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text, each as its printable character. */
export function byteChars(text: string): string {
  const { chars } = byteTables();
  let out = "";
  for (const byte of encoder.encode(text)) out += chars[byte]!;
  return out;
}

/** The bytes that a byte-level token stands for; its own UTF-8 where a character is not in the table. */
export function tokenBytes(token: string): Iterable<number> {
  const { bytes } = byteTables();
  const out: number[] = [];
  for (const char of token) {
    const byte = bytes.get(char);
    if (byte === undefined) return encoder.encode(token);
    out.push(byte);
  }
  return out;
}

/** Byte tokens of byte fallback: `<0x0A>`. */
export function fallbackTokens(text: string): string[] {
  return [...encoder.encode(text)].map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
}

/** UTF-8 to text; what is not UTF-8 becomes U+FFFD, one per maximal part. */
export function decodeUtf8(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
