import type { Adapter } from "../adapters/adapter.js";
import { type ClassFields, classNames } from "./class_names.js";

/** README.md of an adapter: what the Hub shows. */
export function modelCard({ config, method, size }: Adapter, classes: ClassFields = {}): string {
  const names = classNames(classes);
  const base = config.baseModelNameOrPath;
  const isHubId = base !== undefined && /^[\w.-]+\/[\w.-]+$/.test(base);
  const peftType = method?.config.peftType ?? "";
  return [
    "---",
    ...(isHubId ? [`base_model: ${base}`] : []),
    "library_name: peft",
    "tags:",
    ...(isHubId ? [`- base_model:adapter:${base}`] : []),
    `- ${peftType.toLowerCase()}`,
    "- peft.js",
    "---",
    "",
    `# ${peftType} adapter`,
    "",
    `${size} trained parameters on \`${base ?? "its base model"}\`, made with peft.js. Python's PEFT loads it as it is:`,
    "",
    "```python",
    "from peft import PeftModel",
    'model = PeftModel.from_pretrained(base, "this folder")',
    "```",
    "",
    ...(names === undefined
      ? []
      : [
          `Its head tells ${names.length} classes apart, which Python must be told:`,
          "",
          "| id | class |",
          "|---|---|",
        ]),
    ...(names ?? []).map((name, id) => `| ${id} | ${asCell(name)} |`),
    ...(names === undefined ? [] : [""]),
  ].join("\n");
}

/** A text as a cell of a table. */
function asCell(text: string): string {
  return text.replace(/[\\|<>`*_[\]]/g, "\\$&").replace(/\s+/g, " ");
}
