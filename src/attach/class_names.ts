import { PeftError } from "../errors.js";
import { nodeFiles } from "../hub/files.js";
import { readJsonObject } from "../hub/json.js";

/**
 * What an adapter's head tells apart, in a file beside adapter_config.json, under the names that config.json
 * has for it. The base's config.json does not know it, for the head was made for the adapter; Python's PEFT
 * leaves the file alone.
 */
export const CLASSES_FILE = "adapter_labels.json";

/** Those fields: the classes by their ids and by their names, and what is learnt. */
export type ClassFields = Readonly<Record<string, unknown>>;

/** The names of classes, in the order of their ids, as config.json has them. */
export function classFields(names: readonly string[]): ClassFields {
  return {
    num_labels: names.length,
    id2label: Object.fromEntries(names.map((name, id) => [String(id), name])),
    label2id: Object.fromEntries(names.map((name, id) => [name, id])),
  };
}

/** The names of classes in such fields; undefined where they have none, or none but LABEL_0, LABEL_1, ... */
export function classNames({ id2label }: ClassFields): readonly string[] | undefined {
  if (typeof id2label !== "object" || id2label === null) return undefined;
  const names = Object.values(id2label).map(String);
  return names.every((name, id) => name === `LABEL_${id}`) ? undefined : names;
}

/** What of a model's fields its adapters must know; undefined where they say nothing. */
export function fieldsToSave(json: ClassFields): ClassFields | undefined {
  const { id2label, label2id, problem_type } = json;
  const names = classNames(json) === undefined ? {} : { id2label, label2id };
  const problem = problem_type === undefined || problem_type === null ? {} : { problem_type };
  const fields = { ...names, ...problem };
  return Object.keys(fields).length === 0 ? undefined : fields;
}

/** The fields in an adapter's folder; undefined where it has none. Throws "file-format". */
export async function readClasses(folder: string): Promise<ClassFields | undefined> {
  const path = nodeFiles.join(folder, CLASSES_FILE);
  if (!(await nodeFiles.exists(path))) return undefined;
  const json = await readJsonObject(path);
  const ids = Object.entries(Object(json["id2label"]));
  const fault = ids.find(([id, name], i) => id !== String(i) || typeof name !== "string");
  if (fault === undefined) return fieldsToSave(json);
  throw new PeftError("file-format", {
    what: `"${path}" names no classes: id2label has ${JSON.stringify(fault[0])}: ${JSON.stringify(fault[1])}.`,
    why: "each id, from 0 on, has a name.",
    fix: 'correct it, as in {"id2label": {"0": "no", "1": "yes"}}, or remove the file: classes are LABEL_0, LABEL_1 then.',
  });
}
