import type { Adapter } from "../adapters/adapter.js";
import { refuseUnknown } from "../arguments.js";
import { saveAdapter } from "../attach/adapter_files.js";
import { type ClassFields, fieldsToSave } from "../attach/class_names.js";
import { nodeFiles } from "../hub/files.js";
import { hubSettings } from "../hub/settings.js";
import { type PushOptions, pushFolder, pushNames } from "../hub/upload.js";
import type { Result } from "../run/passes.js";
import { classOf, taskOf } from "../tasks/registry.js";
import type { AdaptedBase } from "./adapted_base.js";
import { type SaveAdapterOptions, savedNames } from "./adapter_options.js";
import { writePooling } from "./embedding_files.js";
import { taskOfAdapter } from "./other_task.js";
import { promptRows } from "./prompt_rows.js";

/** Writes adapters: "default" into the folder itself, others into folders of their names. */
export async function saveAdapters(
  model: AdaptedBase,
  folder: string,
  options: SaveAdapterOptions,
): Promise<void> {
  refuseUnknown("savePretrained", options, savedNames);
  const adapters = model.adapters.named(options.selectedAdapters ?? [...model.adapters.byName.keys()]);
  await model.turns.turn("beside", adapters, async () => {
    for (const adapter of adapters) {
      const target = adapter.name === "default" ? folder : nodeFiles.join(folder, adapter.name);
      await writeAdapter(model, adapter, target);
    }
  });
}

/** Writes one adapter into a folder. */
export async function writeAdapter({ base }: AdaptedBase, adapter: Adapter, target: string): Promise<void> {
  const prompt = await promptRows(base.runtime, adapter);
  const { modelType } = base.config;
  const modelClass = { name: classOf(base.configJson, taskOfAdapter(adapter, base.taskType)), modelType };
  await saveAdapter(adapter, target, base.runtime, { prompt, classes: classesOf(base, adapter), modelClass });
  const { config, folder: from } = base;
  const { pooling, hiddenSize } = config;
  if (pooling !== undefined) await writePooling(target, pooling, { width: hiddenSize, from });
}

/** Uploads adapters as `saveAdapters` writes them. Throws "hub", "aborted". */
export async function pushAdapters(
  model: AdaptedBase,
  repo: string,
  options: PushOptions & SaveAdapterOptions,
): Promise<{ url: string; commit: string }> {
  refuseUnknown("pushToHub", options, { ...pushNames, ...savedNames });
  const { selectedAdapters, ...push } = options;
  const { cacheDir } = await hubSettings(push, nodeFiles);
  const folder = await nodeFiles.temporary(nodeFiles.join(cacheDir, "push"));
  try {
    await saveAdapters(model, folder, selectedAdapters === undefined ? {} : { selectedAdapters });
    return await pushFolder(folder, repo, push);
  } finally {
    await nodeFiles.remove(folder);
  }
}

/** What an adapter's prompt encoder yields; undefined where the adapter is no prompt method. */
export async function promptEmbeddings(model: AdaptedBase, name: string): Promise<Result | undefined> {
  const adapter = model.adapters.get(name);
  return await model.turns.turn("beside", [adapter], () => promptRows(model.base.runtime, adapter));
}

/** What an adapter's head tells apart, as its own files or else the base's config say. */
function classesOf(base: AdaptedBase["base"], adapter: Adapter): ClassFields | undefined {
  if (!taskOf(taskOfAdapter(adapter, base.taskType)).head.isPerLabel) return undefined;
  return adapter.state.classes ?? (adapter.task === undefined ? fieldsToSave(base.configJson) : undefined);
}
