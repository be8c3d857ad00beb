import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { PeftError } from "../../errors.js";
import { compileTemplate } from "../template.js";

function print(text: string, variables: { readonly [name: string]: unknown } = {}): string {
  return compileTemplate({ text, where: "chat_template.jinja" }).render(variables, new Date(2024, 0, 2)).text;
}

/** The text, or null for an error that is one of ours. */
function printed(text: string, variables: { readonly [name: string]: unknown }): string | null {
  try {
    return print(text, variables);
  } catch (error) {
    if (error instanceof PeftError && error.code === "tokenizer") return null;
    throw error;
  }
}

describe("what jinja2 prints", async () => {
  const { variables, rows } = JSON.parse(await readFile("tests/golden/jinja.json", "utf8"));
  const all = { ...variables, big: 12345678901234567890123n };

  const named = (rows as [string, string | null][]).map((row) => [JSON.stringify(row[0]), ...row] as const);
  it.each(named)("%s", (_name, template, want) => {
    expect(printed(template, all)).toBe(want);
  });
});

describe("names of filters and tests are looked up as the template compiles", () => {
  // where jinja2 3.1 compiles, and where it does not
  it.each([
    "{% if false %}{{ 1|foo }}{% endif %}",
    "{{ (1|foo) if false else '' }}",
    "{% if false %}{{ 1 is foo }}{% endif %}",
    "{% if false %}{% for x in 1|foo %}{% endfor %}{% endif %}",
    "{% for x in [1] %}{% if false %}{{ x|foo }}{% endif %}{% endfor %}",
  ])("but not right in an if: %s", (text) => expect(print(text)).toBe(""));
  it.each([
    ["{{ false and 1|foo }}", "False"],
    ["{{ 0 and 1|foo }}", "0"],
    ["{{ 1 or 1|foo }}", "1"],
    ["{{ 'a' or 1 is foo }}", "a"],
  ])("nor right of a constant that decides: %s", (text, printed) => expect(print(text)).toBe(printed));
  it("but right of one that does not", () => {
    expect(() => print("{{ true and 1|foo }}")).toThrow("No filter named 'foo'");
    expect(() => print("{{ 0 or 1|foo }}")).toThrow("No filter named 'foo'");
  });
  it.each([
    [
      "{% if false %}{% for x in [1] %}\n{{ x|foo }}{% endfor %}{% endif %}",
      "No filter named 'foo' (line 2)",
    ],
    ["{% macro f() %}{{ 1|foo }}{% endmacro %}", "No filter named 'foo' (line 1)"],
    ["{% if false %}{% set x|foo %}a{% endset %}{% endif %}", "No filter named 'foo' (line 1)"],
    ["{% if false %}{% with a=1 %}{{ a|foo }}{% endwith %}{% endif %}", "No filter named 'foo' (line 1)"],
    ["{% if false %}{% for x in [1] if x|foo %}{% endfor %}{% endif %}", "No filter named 'foo' (line 1)"],
    ["{% for x in [] %}{{ 1 is foo }}{% endfor %}", "No test named 'foo'"],
    ["{{ messages|pprint }}", "the filter 'pprint' is one of jinja2's that peft.js does not have"],
  ])("%s", (text, says) => {
    expect(() => compileTemplate({ text, where: "t" })).toThrow(`t does not compile: ${says}`);
  });
  it.each(["{{ 'a'.encode() }}", "{{ 'a'.translate({}) }}", "{{ self.title() }}", "{{ lipsum() }}"])(
    "what is not here is named: %s",
    (text) =>
      expect(() => print(text)).toThrow(
        /NotImplementedError.*(str\.encode|str\.translate|self\.title|lipsum)/,
      ),
  );
});

describe("the budget", () => {
  it.each([
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{{ range(1000000000) }}",
    "{{ 'a' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ 2 ** 1000000000 }}",
    "{{ 10 ** (10 ** 10) }}",
    "{% set ns = namespace(x=7) %}{% for i in range(100000) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for i in range(100000) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '%.1000000000f' % 1 }}",
    "{{ 'a'.center(1000000000) }}{{ 'a'.zfill(1000000000) }}{{ '\t'.expandtabs(1000000000) }}",
    "{{ ('a\n' * 10000)|indent(100000) }}",
    "{{ [1]|batch(1000000000, 0)|list }}{{ [1]|slice(1000000000)|list }}",
    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "{{ ('b' * 100000).join('a' * 100000) }}{{ ('a' * 100000)|join('b' * 100000) }}",
    "{{ [1]|tojson(indent=1000000000) }}",
    "{{ 1|round(1000000000) }}{{ 1|round(-1000000000) }}{{ 1.5|round(-1000000000) }}{{ 'x' * 1000000000 }}",
    "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
    `{{ ${"(".repeat(20_000)}1${")".repeat(20_000)} }}`,
    `{{ ${"not ".repeat(20_000)}1 }}`,
    `${"{% if 1 %}".repeat(20_000)}${"{% endif %}".repeat(20_000)}`,
  ])("ends %s", (template) => {
    expect(() => print(template)).toThrow(
      /chat_template\.jinja (does not come to an end|fails|does not compile)/,
    );
  });

  it("leaves room for long conversations", () => {
    const messages = Array.from({ length: 5000 }, (_, i) => ({
      role: i % 2 ? "assistant" : "user",
      content: "word ".repeat(200),
    }));
    const text = print("{% for m in messages %}<{{ m.role }}>{{ m.content | trim + '\n' }}{% endfor %}", {
      messages,
    });
    expect(text.length).toBeGreaterThan(4_990_000);
  });

  it("names the line", () => {
    expect(() => print("a\nb\n{{ 1 / 0 }}")).toThrow(
      /chat_template\.jinja fails.*\(line 3\): ZeroDivisionError/,
    );
    expect(() => print("a\n{% if %}")).toThrow(/chat_template\.jinja does not compile: .*\(line 2\)/);
  });
});

describe("values from outside", () => {
  it("are Python's", () => {
    const value = {
      a: undefined,
      b: null,
      c: 2,
      d: 2.5,
      e: 10n ** 30n,
      f: [true, new Number(1), new Number(1e16)],
      "1": "x",
      g: new Map([["1", 2]]),
    };
    expect(print("{{ value }}", { value })).toBe(
      "{'1': 'x', 'b': None, 'c': 2, 'd': 2.5, 'e': 1000000000000000000000000000000, 'f': [True, 1.0, 1e+16], 'g': {'1': 2}}",
    );
  });

  it("hide all of JavaScript's own", () => {
    const names = [
      "__proto__",
      "constructor",
      "toString",
      "hasOwnProperty",
      "length",
      "prototype",
      "valueOf",
    ];
    for (const name of names) {
      for (const of of ["value", "value.f", "'a'", "5", "range", "namespace()", "none or {}"]) {
        expect(
          print(`{{ (${of}).${name} is defined }}{{ (${of})['${name}'] is defined }}`, { value: { f: [] } }),
        ).toBe("FalseFalse");
      }
      expect(print(`{{ ${name} is defined }}`)).toBe("False");
      if (name !== "length") expect(() => print(`{{ 1|${name} }}`)).toThrow(/No filter named/);
      expect(() => print(`{{ 1 is ${name} }}`)).toThrow(/No test named/);
      expect(() => print(`{% ${name} %}`)).toThrow(/unknown tag/);
    }
  });
});
