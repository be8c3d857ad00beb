import type { LoraConfig } from "./lora_config.js";
import type { ParameterSite } from "./method.js";
import { byPattern } from "./pattern.js";

/** The rank at a place: by its path, or by its parameter's name where that is what the config names. */
export function rankOf(c: LoraConfig, site: ParameterSite): number {
  return byPattern(c, "rankPattern", site.parameter ?? site.path) ?? c.r;
}

/** alpha / r */
export function scaleOf(c: LoraConfig, site: ParameterSite): number {
  const alpha = byPattern(c, "alphaPattern", site.parameter ?? site.path) ?? c.loraAlpha;
  const r = rankOf(c, site);
  return alpha / (c.useRslora ? Math.sqrt(r) : r);
}
