import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Packed, packed, run } from "../support/packed.js";

// What npm would publish: as publint and are-the-types-wrong see it, and as its pages' links find one
// another.
let made: Packed;
beforeAll(() => {
  made = packed("published");
});
afterAll(() => made.remove());

const unpacked = (): string => join(made.app, "node_modules/peft.js");
const files = (): string[] =>
  run("tar", ["-tzf", made.tarball], made.folder)
    .trim()
    .split("\n")
    .map((name) => name.replace("package/", ""));

test("publint finds no fault and warns of nothing", async () => {
  const { messages, pkg } = await publint({ pkgDir: unpacked(), pack: false, level: "warning" });
  expect(messages.map((message) => formatMessage(message, pkg ?? {}))).toEqual([]);
});

test("types are found by every resolution; CommonJS gets an ES module, which Node 20.19 can require", async () => {
  const result = await checkPackage(createPackageFromTarballData(readFileSync(made.tarball)));
  const problems = "problems" in result ? result.problems : [{ kind: "no types" }];
  // "node10" is TypeScript's resolution before exports were known: the main entry has no other place for its
  // types.
  const left = problems.filter(
    (p) => p.kind !== "CJSResolvesToESM" && !("resolutionKind" in p && p.resolutionKind === "node10"),
  );
  expect(left).toEqual([]);
});

test("package.json says what npm's page shows", () => {
  const { repository, homepage, bugs, keywords, description } = JSON.parse(
    readFileSync(join(unpacked(), "package.json"), "utf8"),
  );
  expect(repository.url).toMatch(/^git\+https:/);
  for (const url of [homepage, bugs.url]) expect(url).toMatch(/^https:/);
  expect(keywords.length).toBeGreaterThan(5);
  expect(description.length).toBeLessThan(200);
});

/** A heading's anchor, as GitHub makes it. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

test("every link of a packed page that names no host leads to a packed file, and to a heading of it", () => {
  const pages = files().filter((name) => /\.md$|^llms\.txt$/.test(name));
  expect(pages).toEqual(expect.arrayContaining(["README.md", "docs/data.md", "SUPPORT.md", "CHANGELOG.md"]));
  const dead = pages.flatMap((page) => {
    const text = readFileSync(join(unpacked(), page), "utf8").replace(/^```[\s\S]*?^```$/gm, "");
    return [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(([, path = "", id]) => {
      const to = join(unpacked(), path === "" ? page : join(dirname(page), path));
      if (!existsSync(to)) return [`${page}: ${path}`];
      if (id === undefined) return [];
      const headings = [...readFileSync(to, "utf8").matchAll(/^#+ (.*)$/gm)].map((m) => anchor(m[1] ?? ""));
      return headings.includes(id) ? [] : [`${page}: ${path}#${id}`];
    });
  });
  expect(dead).toEqual([]);
});
