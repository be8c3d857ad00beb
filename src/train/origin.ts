import { modelHash } from "../hub/model_hash.js";
import { machine } from "../platform.js";
import type { RunOrigin } from "./events.js";
import { readPackageFile } from "./report_assets.js";

/**
 * @param folder the base's
 * @param now gives the time in milliseconds
 */
export async function originOf(folder: string, now: () => number): Promise<RunOrigin> {
  const { node, ...where } = machine();
  const packages = ["peft.js", "onnxruntime-node"].flatMap((name) => {
    const version = versionOf(name);
    return version === undefined ? [] : [[name, version] as const];
  });
  return {
    runId: crypto.randomUUID(),
    time: new Date(now()).toISOString(),
    modelHash: await modelHash(folder),
    ...where,
    versions: { node, ...Object.fromEntries(packages) },
  };
}

/** Of an installed package; undefined in a bundle, which has none beside it. */
function versionOf(name: string): string | undefined {
  try {
    return JSON.parse(readPackageFile(`${name}/package.json`)).version;
  } catch {
    return undefined;
  }
}
