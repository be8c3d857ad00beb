/** One field of a message: a number, or the bytes of a text or another message. */
export interface Field {
  readonly number: number;
  readonly value?: number;
  readonly bytes?: Uint8Array;
}

/** The fields of a protobuf message, in their order; undefined: it is none. */
export function readFields(data: Uint8Array): Field[] | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number | undefined => {
    let value = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = data[at++];
      if (byte === undefined) return undefined;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    return undefined;
  };
  while (at < data.length) {
    const key = varint();
    if (key === undefined) return undefined;
    const [number, wire] = [Math.floor(key / 8), key % 8];
    const size = wire === 1 ? 8 : wire === 5 ? 4 : wire === 0 || wire === 2 ? varint() : undefined;
    if (size === undefined || number === 0) return undefined;
    if (wire === 0) {
      fields.push({ number, value: size });
      continue;
    }
    if (at + size > data.length) return undefined;
    if (wire === 5) fields.push({ number, value: view.getFloat32(at, true) });
    if (wire === 2) fields.push({ number, bytes: data.subarray(at, at + size) });
    at += size;
  }
  return fields;
}
