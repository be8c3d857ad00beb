import { expectName, type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { nodeFiles } from "../hub/files.js";
import { readJsonObject } from "../hub/json.js";
import { type ResolveOptions, resolveFolder, resolveNames } from "../hub/resolve.js";
import { isRecord } from "../narrow.js";
import { ImageProcessor } from "./pictures/image_processor.js";
import type { FeatureExtractor } from "./sound/extractor.js";
import { featureExtractor } from "./sound/kinds.js";

/** Where to look for a processor; see resolveFolder. */
export type ProcessorOptions = Omit<ResolveOptions, "files">;

const { files: _, ...processorNames } = resolveNames;
const names: NamesOf<ProcessorOptions> = processorNames;

/** What a folder says of its processors. */
interface ProcessorFiles {
  readonly config: Readonly<Record<string, unknown>>;
  /** The file that says so. */
  readonly path: string;
  readonly modelType?: string | undefined;
}

/** Image processors by Hub id or folder. */
export const AutoImageProcessor: {
  /**
   * What makes pictures ready for a model, as its preprocessor_config.json says. Of transformers' two
   * backends it gives the numbers of Pillow's.
   * Reference: transformers/models/auto/image_processing_auto.py
   * @throws "file-format", and "hub" where there is no such folder or repository
   * @example
   * ```ts
   * import { AutoImageProcessor } from "peft.js";
   *
   * const processor = await AutoImageProcessor.fromPretrained("facebook/dinov2-small");
   * const { pixelValues } = await processor.preprocess(["cat.jpg", "dog.png"]);
   * console.log(pixelValues.shape); // [2, 3, 224, 224]
   * ```
   */
  fromPretrained(nameOrFolder: string, options?: ProcessorOptions): Promise<ImageProcessor>;
} = {
  async fromPretrained(nameOrFolder, options = {}) {
    const { config, path, modelType } = await processorFiles("AutoImageProcessor", "image_processor", {
      nameOrFolder,
      options,
    });
    return new ImageProcessor(config, path, modelType);
  },
};

/** Feature extractors by Hub id or folder. */
export const AutoFeatureExtractor: {
  /**
   * What turns sound into a model's input, as its preprocessor_config.json says.
   * Reference: transformers/models/auto/feature_extraction_auto.py
   * @throws "file-format" where the folder has none that can be read here, and "hub"
   * @example
   * ```ts
   * import { AutoFeatureExtractor, loadAudio } from "peft.js";
   *
   * const extractor = await AutoFeatureExtractor.fromPretrained("openai/whisper-small");
   * const { inputFeatures } = extractor(await loadAudio("call.wav"));
   * ```
   */
  fromPretrained(nameOrFolder: string, options?: ProcessorOptions): Promise<FeatureExtractor>;
} = {
  async fromPretrained(nameOrFolder, options = {}) {
    const { config, path, modelType } = await processorFiles("AutoFeatureExtractor", "feature_extractor", {
      nameOrFolder,
      options,
    });
    return featureExtractor(config, path, modelType);
  },
};

/**
 * The configuration of one kind of processor: a file of its own, or a part of processor_config.json, as
 * transformers 5 writes for models with several.
 */
export async function processorFiles(
  auto: string,
  part: "image_processor" | "feature_extractor",
  { nameOrFolder, options }: { nameOrFolder: string; options: ProcessorOptions },
): Promise<ProcessorFiles> {
  expectName(`${auto}.fromPretrained`, nameOrFolder);
  refuseUnknown(`${auto}.fromPretrained`, options, names);
  const files = ["preprocessor_config.json", "processor_config.json", "config.json"];
  const folder = await resolveFolder(nameOrFolder, { ...options, files });
  const read = async (name: string): Promise<Readonly<Record<string, unknown>> | undefined> => {
    const path = nodeFiles.join(folder, name);
    return (await nodeFiles.exists(path)) ? readJsonObject(path) : undefined;
  };
  const [own, joint, model] = [await read(files[0]!), await read(files[1]!), await read(files[2]!)];
  const type = model?.["model_type"];
  const modelType = typeof type === "string" ? type : undefined;
  if (own !== undefined) return { config: own, path: nodeFiles.join(folder, files[0]!), modelType };
  const config = joint?.[part];
  if (isRecord(config)) return { config, path: nodeFiles.join(folder, files[1]!), modelType };
  throw new PeftError("file-format", {
    what: `"${nodeFiles.join(folder, "preprocessor_config.json")}" is not there.`,
    why: "it says how inputs become numbers, and no other file of the folder does.",
    fix: "take it from the model's repository, or name a folder that has one.",
  });
}
