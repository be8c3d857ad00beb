import type { Settings } from "./options.js";
import type { Terminal } from "./terminal.js";

/** Options that name files, which assets/shipped.json gives relative to itself. */
const paths = ["model", "data", "validation", "test"];

/** What `peft train` does where nothing is said: the one place for it is assets/shipped.json, which is a config file. */
async function shippedOptions(terminal: Terminal): Promise<Record<string, unknown>> {
  const options = JSON.parse(await terminal.readFile(terminal.packagePath("assets/shipped.json")));
  for (const key of paths)
    if (typeof options[key] === "string")
      options[key] = terminal.packagePath(terminal.join("assets", options[key]));
  return options;
}

/** Whether nothing but what ships is trained. */
export function isShipped(settings: Settings): boolean {
  return !settings.isGiven("model") && !settings.isGiven("data");
}

/** Fills in the shipped model, data and recipe where neither a model nor data are named. */
export async function withShipped(settings: Settings, terminal: Terminal): Promise<Settings> {
  return isShipped(settings) ? settings.over(await shippedOptions(terminal)) : settings;
}

/** The folder of the shipped model. */
export async function shippedModel(terminal: Terminal): Promise<string> {
  return (await shippedOptions(terminal))["model"] as string;
}
