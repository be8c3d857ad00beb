import { isMethodOption } from "./method_options.js";
import type { Settings } from "./options.js";
import type { Terminal } from "./terminal.js";

/** Options that name files, which assets/shipped.json gives relative to itself. */
const paths = ["model", "data", "validation", "test"];

/**
 * What `peft train` does where nothing is said: the one place for it is assets/shipped.json, which is a
 * config file.
 */
async function shippedOptions(terminal: Terminal): Promise<Record<string, unknown>> {
  const options = JSON.parse(await terminal.readFile(terminal.packagePath("assets/shipped.json")));
  for (const key of paths)
    if (typeof options[key] === "string")
      options[key] = terminal.packagePath(terminal.join("assets", options[key]));
  return options;
}

/**
 * Fills in what is not said: without data, the shipped ones with their recipe; without a model, the shipped
 * one.
 */
export async function withShipped(settings: Settings, terminal: Terminal): Promise<Settings> {
  const shipped = await shippedOptions(terminal);
  if (settings.isGiven("data"))
    return settings.isGiven("model") ? settings : settings.over({ model: shipped["model"] });
  terminal.note("No --data given: these are the messages that ship with peft.js, complaint or no complaint.");
  const recipe = forMethod(shipped, settings.text("method"));
  if (settings.isGiven("validationSplit")) delete recipe["validation"];
  return settings.over(recipe);
}

/** The recipe is for one method: with another, that one's own defaults apply. */
function forMethod(shipped: Record<string, unknown>, method: string | undefined): Record<string, unknown> {
  if (method === undefined || method === shipped["method"]) return { ...shipped };
  return Object.fromEntries(Object.entries(shipped).filter(([key]) => !isMethodOption(key)));
}

/** The folder of the shipped model. */
export async function shippedModel(terminal: Terminal): Promise<string> {
  return String((await shippedOptions(terminal))["model"]);
}
