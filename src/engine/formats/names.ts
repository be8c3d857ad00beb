import { keysOf } from "../../narrow.js";
import { type FormatName, formats } from "./index.js";

/** The names of all weight formats. */
export const FORMAT_NAMES: readonly FormatName[] = keysOf(formats);
