import type { ConvertOptions } from "../index.js";
import { checkFolder } from "./merge.js";
import { adapterOption, engineGroup, modelGroup, openWithoutTokenizer } from "./model.js";
import { waysToUse } from "./next.js";
import type { Settings, Verb } from "./options.js";
import type { Terminal } from "./terminal.js";

/** `peft convert` */
export const convert: Verb = {
  name: "convert",
  summary: "Write an adapter of another method as a LoRA, which every server of models loads.",
  examples: [
    "peft convert --adapter out --output as-lora --rank 16",
    "peft convert --adapter me/tweets-loha --output as-lora --energy 0.95",
  ],
  groups: () => [
    modelGroup("the adapter's own base", adapterOption),
    {
      title: "Output",
      options: [
        { key: "output", kind: "text", value: "FOLDER", help: "where to put the LoRA" },
        { key: "rank", kind: "whole", help: "rank of every layer", also: ["r", "svdRank"] },
        {
          key: "energy",
          kind: "number",
          help: "in place of a rank: the share of each layer's change (squares of its singular values) that is kept",
          also: ["threshold", "share"],
        },
        {
          key: "maxError",
          kind: "number",
          help: "largest relative error that is taken; beyond it nothing is written",
          otherwise: "any",
        },
        { key: "overwrite", kind: "flag", help: "write into a folder that is not empty" },
      ],
    },
    engineGroup,
  ],
  run,
};

async function run(settings: Settings, terminal: Terminal): Promise<number> {
  const { adapter, output } = await checkFolder(settings, terminal, "convert");
  const { base, adapted } = await openWithoutTokenizer(settings, terminal);
  try {
    const given = ["rank", "energy", "maxError"].map((key) => [key, settings.number(key)] as const);
    const kept: ConvertOptions = Object.fromEntries(given.filter(([, value]) => value !== undefined));
    const { error, layers } = await adapted!.convertToLora(output, kept);
    const ranks = layers.map(({ rank }) => rank);
    const [least, most] = [Math.min(...ranks), Math.max(...ranks)];
    const worst = layers.reduce((a, b) => (b.error > a.error ? b : a));
    terminal.print(
      `Wrote "${adapter}" as a LoRA to "${output}": rank ${least === most ? most : `${least} to ${most}`}, ` +
        `${percent(error)} of its changes left out (most at ${worst.path}: ${percent(worst.error)}).`,
    );
    terminal.note(`Next: ${waysToUse({ adapter: output }, base.taskType)[0]}`);
    return 0;
  } finally {
    await base.close();
  }
}

function percent(share: number): string {
  return `${(100 * share).toPrecision(2)} %`;
}
