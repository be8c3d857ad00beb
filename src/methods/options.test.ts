import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  configTypes,
  docsPath,
  methodsPage,
  typesPath,
  valuesFile,
  valueTypes,
} from "../../tools/generate-options.js";
import { formatJson } from "../hub/json.js";
import { optionKey, pythonName } from "../options.js";
import { methods } from "./index.js";
import { LoraConfig } from "./lora.js";

/** By Python's PEFT: tools/golden/method_configs.py */
const golden: Readonly<Record<string, string>> = JSON.parse(
  readFileSync("tests/golden/method_configs.json", "utf8"),
);

describe("what comes from the tables of options is up to date (npm run generate)", () => {
  it("the configs' types", () => {
    const plain = (text: string): string => text.replace(/[\s|]+/g, ""); // the formatter parts long lines
    expect(plain(readFileSync(typesPath, "utf8"))).toBe(plain(configTypes()));
  });

  it.each(valueTypes)("$name", (file) => {
    const plain = (text: string): string => text.replace(/[\s|]+/g, "");
    expect(plain(readFileSync(file.path, "utf8"))).toBe(plain(valuesFile(file)));
  });

  it("docs/methods.md", () => {
    const page = readFileSync(docsPath, "utf8");
    expect(page).toBe(methodsPage(page));
  });
});

describe.each(methods.map(({ name, config, files }) => [name, config, files] as const))(
  "%s",
  (_, config, files) => {
    it("has one name for each option, here and in Python", () => {
      for (const [key, row] of Object.entries(config.options)) {
        expect(key).toMatch(/^[a-z][a-zA-Z0-9]*$/);
        expect(optionKey(pythonName(key, row), config.options)).toBe(key);
        expect(row.means).toMatch(/^[^.].*[^.]$/);
      }
    });

    // What lies in another library's form is compared in attach/adapters_library.test.ts.
    it.skipIf(files !== undefined)("makes the adapter_config.json that Python writes, to the byte", () => {
      const fields = { ...config.fields, ...("total_step" in config.fields ? { total_step: 100 } : {}) };
      expect(formatJson(fields, new Set(config.floats))).toBe(golden[config.peftType]);
    });

    it("takes Python's names, once", () => {
      expect(config.create(config.fields)).toEqual(config.create({}));
    });
  },
);

it("names that are no options are told what is meant", () => {
  const create = (options: Record<string, unknown>) => (): unknown => LoraConfig.create(options);
  expect(create({ lora_alpha: 16 })()).toEqual(new LoraConfig({ loraAlpha: 16 }));
  expect(create({ lora_alpha: 16, loraAlpha: 8 })).toThrow(/loraAlpha is given twice/);
  expect(create({ rank: 4, alpha: 8 })).toThrow(
    /"rank".*"alpha".*use r for "rank", use loraAlpha for "alpha"/s,
  );
  expect(create({ targetModule: ["q"] })).toThrow(/use targetModules for "targetModule"/);
  expect(create({ toString: 1 })).toThrow(/no option "toString"/);
});
