// What a browser gives in the place of platform.ts.

/** A timer's turn: a page draws and hears its user between two of them. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/** A page is not told what it takes. */
export const residentBytes = (): number => 0;

/** A page is not told what it may take; this is the address space of WebAssembly. */
export const availableBytes = (): number => 2 ** 32;

/**
 * A page cannot stop its own code: the browser asks its user, and whoever reads files of strangers does it in
 * a Worker.
 */
export const runFor = <T>(_ms: number, run: () => T): { value: T } | undefined => ({ value: run() });

/** A page is given nothing by other programs. */
export async function* standardInput(): AsyncGenerator<Uint8Array> {}

/** A browser says little of the machine. */
export const machine = (): { host: string; processor: string; system: string; node: string } => ({
  ...{ host: "browser", processor: "unknown", system: "unknown", node: "none" },
});

/** Compression is not at hand: nothing counts as repeating itself. */
export const deflatedSize = (bytes: Uint8Array): number => bytes.length;
/** A page reads its pictures in its own thread. */
export const startThread = (): undefined => undefined;
