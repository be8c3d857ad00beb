import type { Adapter } from "../adapters/adapter.js";

/** README.md of an adapter: what the Hub shows. */
export function modelCard({ config, method, size }: Adapter): string {
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
  ].join("\n");
}
