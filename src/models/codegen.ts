import type { GptjConfig } from "./gptj.js";
import { gptj, readGptj } from "./gptj.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";

const { vocabulary, hidden } = decoderHeads<GptjConfig>("transformer.wte.weight", true);

/** In how many shares the fused layer of every checkpoint is cut. */
const SHARES = 4;

/** GPT-J with a fused layer. Reference: transformers/models/codegen */
export const codegen: Architecture<GptjConfig> = {
  ...gptj,
  modelTypes: ["codegen"],
  roles: { targets: ["qkv_proj"] },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readGptj(f);
      if (c.heads % SHARES !== 0) f.fault(`${c.heads} attention heads do not fill ${SHARES} shares evenly`);
      return { ...c, shares: SHARES };
    }),
  heads: { vocabulary, hidden },
  newModules: [],
};
