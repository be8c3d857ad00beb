import type { Files } from "../../hub/files.js";
import type { RecordSource } from "../record_source.js";
import type { DataRecord } from "./table.js";

// Folders of pictures or of sound, as `datasets` reads them: a folder per class, or files without classes.

/** Columns by the extensions of the files that fill them. */
const media: Readonly<Record<string, readonly string[]>> = {
  image: [".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif"],
  audio: [".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"],
};

/** The column that a file fills, by its extension; undefined: it is neither picture nor sound. */
export function mediaOf(name: string): string | undefined {
  const extension = /\.[^.]*$/.exec(name.toLowerCase())?.[0] ?? "";
  return Object.keys(media).find((column) => media[column]?.includes(extension));
}

/** Names of folders that hold a part of a data set. */
export const SPLITS = ["train", "training"] as const;

/** How a folder of media is named among files. */
export function isMediaFolder(name: string): boolean {
  return name.endsWith("/");
}

/**
 * A picture or a clip by itself, or every one below a folder: its path, and the name of the folder in which
 * it lies as its label, where not all lie in the folder itself.
 */
export async function readMediaFolder(folder: string, files: Files): Promise<RecordSource> {
  const isFile = !isMediaFolder(folder);
  const root = isFile ? files.parent(folder) : folder.replace(/\/$/, "");
  const names = (
    isFile ? [folder.slice(root === "." ? 0 : root.length + 1)] : await files.listDeep(root)
  ).filter((name) => !/(^|\/)[._]/.test(name));
  const found = names.filter((name) => mediaOf(name) !== undefined);
  const classOf = (name: string): string | undefined => name.split("/").at(-2);
  const classes = [...new Set(found.flatMap((name) => classOf(name) ?? []))].sort();
  const columns = [...new Set(found.flatMap((name) => mediaOf(name) ?? []))];
  async function* records(): AsyncGenerator<DataRecord> {
    for (const name of found) {
      const label = classOf(name);
      const at = files.join(root, ...name.split("/"));
      yield { at, values: { [mediaOf(name) ?? ""]: at, ...(label === undefined ? {} : { label }) } };
    }
  }
  return {
    from: root,
    isReplayable: true,
    columns: [...columns, ...(classes.length > 0 ? ["label"] : [])],
    ...(classes.length > 0 ? { labelNames: { label: classes } } : {}),
    malformed: {
      what: (n) => `${n} files`,
      why: "each is a picture or a clip.",
      fix: "remove the others.",
    },
    records,
  };
}
