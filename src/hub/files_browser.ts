import { PeftError } from "../errors.js";
import type { Files } from "./files.js";

// What a browser has in the place of files.ts (package.json, "browser"): no files. What is read there is
// fetched, and given as content: `tokenizerFromFiles(read)`, `loadDataset(name, { reader })`.

function refuse(path?: string): never {
  throw new PeftError("file-format", {
    what: path === undefined ? "A file was asked for." : `Cannot open "${path}".`,
    why: "there is no file system in a browser.",
    fix: "fetch it, and give a reader of what was fetched.",
  });
}

export const environment = (): Record<string, string | undefined> => ({});

export const finalName = (_name: string): string | undefined => undefined;

export const nodeFiles: Files = {
  read: refuse,
  text: refuse,
  size: refuse,
  changed: refuse,
  exists: refuse,
  isFolder: refuse,
  list: refuse,
  listDeep: refuse,
  writeAtomic: refuse,
  append: refuse,
  create: refuse,
  makeFolder: refuse,
  rename: refuse,
  remove: refuse,
  link: refuse,
  digest: refuse,
  free: refuse,
  join: (...parts) => parts.join("/"),
  resolve: (path) => path,
  parent: (path) => path.slice(0, Math.max(0, path.lastIndexOf("/"))),
  url: (path) => new URL(path),
  home: refuse,
  owner: refuse,
  alive: refuse,
  temporary: refuse,
};
