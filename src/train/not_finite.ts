import { PeftError } from "../errors.js";
import { option, type Words, words } from "../words.js";

/** Where a run was when its numbers broke down. */
export interface Place {
  readonly step: number;
  /** The newest checkpoint, if there is one. */
  readonly checkpoint: string | undefined;
}

export function lossNotFinite(loss: number, where: string, place: Place): PeftError {
  return new PeftError("training", {
    what: `Step ${place.step}: the loss is ${loss} (${where}).`,
    why: `numbers left the range of f32; no weight changed in it, nothing was saved after ${lastGood(place)}.`,
    fix: fixOf(place),
  });
}

export function weightsNotFinite(names: readonly string[], place: Place): PeftError {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return new PeftError("training", {
    what: `Step ${place.step} left NaN or infinity in ${names.slice(0, 5).join(", ")}${more}.`,
    why: `its update was too large for f32; nothing was saved after ${lastGood(place)}.`,
    fix: fixOf(place),
  });
}

const lastGood = ({ checkpoint }: Place): string => checkpoint ?? "the start";

const fixOf = ({ checkpoint }: Place): Words =>
  words`${checkpoint === undefined ? "start again" : "start again, in code from that checkpoint if you like,"} with a smaller ${option("lr")}, with ${option("warmupRatio", 0.1)}, or with ${option("maxGradNorm", 1)}.`;
