import type { NamedOption, ShowOption } from "../words.js";
import { inCode } from "../words.js";
import { flagOf, type Option } from "./options.js";

/**
 * Shows options that an error names as flags of a command: `emptyLabels: "drop"` becomes `--empty-labels
 * drop`.
 */
export function inFlags(options: readonly Option[]): ShowOption {
  const find = (name: string): Option | undefined => options.find(({ key, api = key }) => api === name);
  return (named) => {
    if (named.line !== undefined) return named.line;
    const found = find(named.name);
    if (found !== undefined && named.name !== "columns") return flagAndValue(found, named);
    // columns: { text: "a", label: "b" } are flags of their own
    const parts = Object.entries(named.value instanceof Object ? named.value : {});
    const flags = parts.map(([key, value]) => {
      const part = find(key);
      return part === undefined ? undefined : flagAndValue(part, { name: key, value });
    });
    if (flags.length > 0 && !flags.includes(undefined)) return flags.join(" ");
    return found === undefined ? inCode(named) : flagAndValue(found, named);
  };
}

function flagAndValue(option: Option, { value }: NamedOption): string {
  const flag = flagOf(option);
  if (value === undefined) return flag;
  if (option.isSwitch === true && typeof value === "boolean")
    return value ? flag : flag.replace("--", "--no-");
  if (option.kind !== "flag") return `${flag} ${shellQuote(valueText(value))}`;
  return value === (option.byDefault === true) ? `no ${flag}` : flag;
}

/** A value as its flag takes it: lists between commas, maps as name=value. */
function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.map(valueText).join(",");
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .map(([name, item]) => `${name}=${valueText(item)}`)
    .join(",");
}

/** A command to copy: every value in quotes where the shell would read it otherwise. */
export function commandLine(verb: string, flags: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(flags).flatMap(([key, value]) =>
    value === undefined ? [] : [`${flagOf({ key, kind: "text" })} ${shellQuote(value)}`],
  );
  return ["peft", verb, ...given].join(" ");
}

/** A command of `peft train`, or of another that trains, as it was typed. */
export function typed(argv: readonly string[], verb = "train"): string {
  return [`peft ${verb}`, ...argv.map(shellQuote)].join(" ");
}

/**
 * A text as one word of a POSIX shell. Characters that act on a terminal are written as escapes, in `$'...'`.
 */
export function shellQuote(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (!/[\u0000-\u001f\u007f-\u009f]/.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escaped = text.replace(/[\\']/g, "\\$&").replace(/\p{Cc}/gu, (c) => {
    return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `$'${escaped}'`;
}
