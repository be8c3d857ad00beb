import { resolveFolder } from "../../src/hub/resolve.js";

/** Downloads a repository into a cache: node --import tsx tools/kills/download.ts REPO CACHE */
const [repo = "", cacheDir] = process.argv.slice(2);
await resolveFolder(repo, {
  cacheDir,
  env: { HF_ENDPOINT: process.env["HF_ENDPOINT"], HF_TOKEN_PATH: "/nowhere" },
});
