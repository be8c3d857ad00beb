import { pushFolder } from "../index.js";
import { showHub } from "./model.js";
import type { Settings, Verb } from "./options.js";
import type { Terminal } from "./terminal.js";

/** `peft push` */
export const push: Verb = {
  name: "push",
  summary: "Upload an adapter or a model to the Hub; the repository is made where there is none.",
  examples: ["peft push out me/tweets", "peft push merged me/tweets-merged --private"],
  arguments: [
    { name: "<folder>", help: "an adapter's or a model's folder" },
    { name: "<repo>", help: "owner/name" },
  ],
  groups: () => [
    {
      title: "Repository",
      options: [
        { key: "private", kind: "flag", help: "make a new repository private" },
        { key: "message", kind: "text", help: "of the commit", byDefault: "Upload with peft.js" },
        { key: "revision", kind: "text", help: "the branch", byDefault: "main" },
      ],
    },
  ],
  run,
};

async function run(settings: Settings, terminal: Terminal): Promise<number> {
  const options = settings.pick(["private", "message", "revision"]);
  return terminal.interruptible(
    () => terminal.note("\nStopping the upload."),
    async (signal) => {
      const { url, files, leftBehind } = await pushFolder(settings.text("folder")!, settings.text("repo")!, {
        ...options,
        progress: showHub(terminal),
        signal,
      });
      terminal.note(`Uploaded ${files.join(", ")}.`);
      if (leftBehind.length > 0) terminal.note(`Not uploaded: ${inShort(leftBehind).join(", ")}.`);
      terminal.print(url);
      return 0;
    },
  );
}

/** A folder of which nothing goes is one entry: checkpoints/ */
function inShort(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.replace(/\/.*/, "/")))];
}
