import { PeftError } from "../index.js";
import { helpOf, pythonName } from "../options.js";
import { methodRows } from "./method_options.js";
import { type Option, optionsOf, type Settings, type Verb } from "./options.js";
import { rowSchema, type Schema, valueSchema } from "./schema_values.js";
import type { Terminal } from "./terminal.js";

/** `peft schema`: knows the other commands' options. */
export function schema(verbs: readonly Verb[]): Verb {
  return {
    name: "schema",
    summary: "Write the JSON Schema of --config files, by which editors complete and check them.",
    examples: ["peft schema > peft.schema.json", "peft schema generate"],
    arguments: [{ name: "[command]", help: "whose options [default: train]" }],
    groups: () => [],
    run: async (settings: Settings, terminal: Terminal) => {
      const name = settings.text("command") ?? "train";
      const verb = verbs.find((v) => v.name === name) ?? unknownCommand(name, verbs);
      terminal.print(JSON.stringify(configSchema(verb), null, 2));
      return 0;
    },
  };
}

/** The schema of the file that a command takes: every option under its name in the API and in Python. */
export function configSchema(verb: Verb): Schema {
  const options = optionsOf(verb);
  const named = options.map((option) => [option.key, optionSchema(option)] as const);
  const taken = new Set(options.map(({ key }) => key));
  const python = options.flatMap((option) => {
    const name = pythonName(option.key, option.row ?? option);
    return taken.has(name) ? [] : [[name, { $ref: `#/properties/${option.key}` }] as const];
  });
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: `peft ${verb.name} --config`,
    description: verb.summary,
    type: "object",
    properties: { $schema: { type: "string" }, ...Object.fromEntries([...named, ...python]) },
    additionalProperties: false,
  };
}

function optionSchema(option: Option): Schema {
  const { key, help, row, byDefault, otherwise } = option;
  const rows = option.kind === "byMethod" ? methodRows(key) : row === undefined ? [] : [row];
  const [first, ...others] = [...new Map(rows.map((r) => [JSON.stringify(rowSchema(r)), r])).values()];
  if (first === undefined) {
    const said = otherwise === undefined ? help : `${help} [default: ${otherwise}]`;
    const plain = byDefault === undefined ? {} : { default: byDefault };
    return { description: said, ...plain, ...valueSchema(option) };
  }
  const description = [...new Set(rows.map(helpOf))].join("; ");
  if (others.length === 0) return { description, ...rowSchema(first) };
  return { description, anyOf: [first, ...others].map(rowSchema) };
}

function unknownCommand(name: string, verbs: readonly Verb[]): never {
  throw new PeftError("option", {
    what: `There is no command "${name}".`,
    why: "a config file holds the options of one command.",
    fix: `name one of ${verbs.map((verb) => verb.name).join(", ")}: \`peft schema train\`.`,
  });
}
