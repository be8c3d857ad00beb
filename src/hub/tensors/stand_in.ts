import { PeftError } from "../../errors.js";

/** How many bytes of a file tell. */
export const STAND_IN_BYTES = 512;

const LFS = "version https://git-lfs.github.com/spec/";

/**
 * Throws "file-format" where a file's first bytes show that something else lies in its place: the pointer
 * that a clone without Git LFS leaves, or the page with which a server answered in place of the file.
 */
export function refuseStandIn(path: string, start: Uint8Array | string): void {
  const text =
    typeof start === "string"
      ? start.slice(0, STAND_IN_BYTES)
      : new TextDecoder().decode(start.subarray(0, STAND_IN_BYTES));
  if (text.startsWith(LFS)) throw pointer(path, /^size (\d+)$/m.exec(text)?.[1]);
  if (/^\ufeff?\s*<(!doctype html|html|head|\?xml)\b/i.test(text))
    throw page(path, /<title>([^<]{1,80})/i.exec(text)?.[1]);
}

function pointer(path: string, size: string | undefined): PeftError {
  return new PeftError("file-format", {
    what: `"${path}" is a Git LFS pointer, not the file.`,
    why: `its repository was cloned without Git LFS, which leaves the name of ${size ?? "the"} bytes in the file's place.`,
    fix: 'run "git lfs install && git lfs pull" in that folder, or download it: hf download OWNER/NAME --local-dir FOLDER.',
  });
}

function page(path: string, title: string | undefined): PeftError {
  const said = title === undefined ? "" : ` ("${title.trim()}")`;
  return new PeftError("file-format", {
    what: `"${path}" is a web page${said}, not the file.`,
    why: "a server answered with a page (an error, a login, or the file's preview) when it was downloaded.",
    fix: "download it again: hf download OWNER/NAME --local-dir FOLDER, or by the address with /resolve/ in place of /blob/.",
  });
}
