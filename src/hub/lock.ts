import type { Files } from "./files.js";

const patience = 120; // polls without progress, half a second each
const NAMELESS_MS = 2000; // a holder writes its name at once, unless it was killed before

/**
 * Runs `action` when nobody else on this machine runs the same. It only saves work: a holder that has
 * ended, or that
 * makes no progress for a minute, is passed over, so `action` must be safe when run twice.
 * @param path a file that is there while somebody holds the lock
 */
export async function alone(path: string, files: Files, { wait, progress, action }: Turn): Promise<void> {
  let last = -1;
  for (let idle = 0; idle < patience; ) {
    if (await files.create(path, files.owner())) return action().finally(() => files.remove(path));
    if (await isAbandoned(path, files)) {
      await files.remove(path);
      continue;
    }
    await wait(500);
    const now = await progress();
    idle = now === last ? idle + 1 : 0;
    last = now;
  }
  return action().finally(() => files.remove(path));
}

interface Turn {
  readonly wait: (milliseconds: number) => Promise<void>;
  /** A number that changes while the holder gets on. */
  readonly progress: () => Promise<number>;
  readonly action: () => Promise<void>;
}

/** Whether the process that made this lock has ended. */
async function isAbandoned(path: string, files: Files): Promise<boolean> {
  const holder = await files.text(path).catch(() => undefined);
  if (holder === undefined) return false; // released meanwhile
  if (holder !== "") return !files.alive(holder);
  const made = await files.changed(path).catch(() => Date.now());
  return Date.now() - made > NAMELESS_MS;
}
