import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { describe, expect, it } from "vitest";
import type { Row } from "./row.js";
import type { RowStream } from "./row_stream.js";
import { rowsFrom } from "./rows_from.js";

const tickets = [
  { body: "My parcel never came", team: "delivery", id: 1 },
  { body: "The screen is broken", team: "repair", id: 2 },
  { body: "Where is it?", team: "delivery", id: 3 },
];
const quiet = { warn: () => {} };
const options = { text: "body", label: "team", ...quiet };
const expected: Row[] = tickets.map(({ body, team }, i) => ({
  kind: "classify",
  at: `row ${i + 1}`,
  text: body,
  problemType: "single_label_classification",
  labels: [team === "delivery" ? 0 : 1],
  labelNames: ["delivery", "repair"],
}));

async function* generated<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

function* counted(n: number): Generator<{ text: string; label: string }> {
  for (let i = 0; i < n; i++) yield { text: `ticket ${i}`, label: `team ${i % 3}` };
}

describe("lists and iterables are rows at once", () => {
  it.each([
    ["a list", tickets],
    ["a Set", new Set(tickets)],
    ["a generator", tickets.values()],
  ])("%s", (_name, given) => expect(rowsFrom(given, options)).toEqual(expected));

  it("says what is not used", () => {
    const said: string[] = [];
    rowsFrom(tickets, { ...options, warn: (message) => said.push(message) });
    expect(said).toEqual(['Not used: column "id" of what was given.']);
  });

  it("limit reads no further", () => {
    expect(rowsFrom(counted(Infinity), { limit: 2 }).map(({ at }) => at)).toEqual(["row 1", "row 2"]);
  });
});

describe("streams give the same rows", () => {
  it.each<[string, () => RowStream]>([
    ["an async generator", () => rowsFrom(generated(tickets), options)],
    ["a stream of Node", () => rowsFrom(Readable.from(tickets), options)],
    ["a stream of the web", () => rowsFrom(ReadableStream.from(tickets), options)],
    [
      "a stream of the web without an iterator",
      () => {
        const stream = ReadableStream.from(tickets);
        return rowsFrom({ getReader: () => stream.getReader() }, options);
      },
    ],
    ["a function", () => rowsFrom(() => tickets, options)],
    ["an async function", () => rowsFrom(async () => generated(tickets), options)],
    ["a generator function", () => rowsFrom(() => generated(tickets), options)],
  ])("%s, twice", async (_name, make) => {
    const rows = make();
    expect(await rows.toArray()).toEqual(expected);
    expect(await rows.toArray()).toEqual(expected);
    expect(await rows.count()).toBe(3);
    expect(await rows.open()).toMatchObject({ first: expected, isReplayable: true });
  });

  it.each([
    [
      "ids",
      [
        { text: "a", label: 2 },
        { text: "b", label: 0 },
      ],
    ],
    [
      "marks",
      [
        { text: "a", label: [0, 1, 1] },
        { text: "b", label: [1, 0, 0] },
      ],
    ],
    [
      "lists of names",
      [
        { text: "a", label: ["x", "y"] },
        { text: "b", label: [] },
      ],
    ],
    [
      "numbers",
      [
        { text: "a", label: 1 },
        { text: "b", label: 0.25 },
      ],
    ],
    [
      "tags",
      [
        { tokens: ["Ann", "is"], ner_tags: ["PER", "O"] },
        { tokens: ["Rome"], ner_tags: ["LOC"] },
      ],
    ],
    [
      "chats",
      [
        {
          messages: [
            { role: "user", content: "Hi" },
            { role: "assistant", content: "Yes" },
          ],
        },
      ],
    ],
    [
      "a missing class",
      [
        { text: "a", label: "NA" },
        { text: "b", label: "x" },
      ],
    ],
  ])("labels are settled as those of a list are: %s", async (_name, list: object[]) => {
    const rows = rowsFrom(list, quiet);
    expect(await rowsFrom(() => list, quiet).toArray()).toEqual(rows);
  });

  it("classes that come late are named before the first row", async () => {
    const late = [...counted(3000), { text: "last", label: "a team of its own" }];
    const { first } = await rowsFrom(() => late).open();
    expect(first[0]).toMatchObject({ labelNames: ["a team of its own", "team 0", "team 1", "team 2"] });
  });

  it("stops what gives the rows where nobody reads on", async () => {
    let [opened, closed] = [0, 0];
    const rows = rowsFrom(
      async function* () {
        opened++;
        try {
          yield* counted(1e9);
        } finally {
          closed++;
        }
      },
      { labels: ["team 0", "team 1", "team 2"], limit: 1e9 },
    );
    for await (const row of rows) if (row.at === "row 5000") break;
    expect([opened, closed]).toEqual([2, 2]);
  });

  it("reads what can be read once and is not small only once", async () => {
    const named = { labels: ["team 0", "team 1", "team 2"] };
    const note = "x".repeat(2 ** 20); // much text is not kept
    const once = (): AsyncGenerator<object> => generated([...counted(80)].map((row) => ({ ...row, note })));
    const rows = rowsFrom(once(), { ...named, ...quiet });
    expect(await rows.open()).toMatchObject({ isReplayable: false });
    expect(await rows.count()).toBeUndefined();
    expect((await rows.toArray()).length).toBe(80);
    await expect(rows.toArray()).rejects.toThrow(/read already.*can be read once.*rowsFrom\(\(\) =>/);
    const unnamed = rowsFrom(once(), quiet);
    await expect(unnamed.open()).rejects.toThrow(/names of the classes.*labels: \["team 0"/);
  });
});

describe("mappings", () => {
  it("usual names of columns stand for what they are", () => {
    const list = [{ q: "Sky?", a: "Blue." }];
    expect(rowsFrom(list, { columns: { prompt: "q", completion: "a" } })).toMatchObject([
      { kind: "prompt", prompt: "Sky?", target: "Blue." },
    ]);
    expect(rowsFrom(list, { columns: { instruction: "q", output: "a" } })).toMatchObject([
      { kind: "prompt", prompt: "Sky?", target: "Blue." },
    ]);
    expect(
      rowsFrom([{ a: "x", b: "y", c: 1 }], { columns: { sentence1: "a", sentence2: "b", label: "c" } }),
    ).toMatchObject([{ kind: "classify", text: "x", pair: "y" }]);
  });

  it("a function makes rows with the usual names, of lists and of streams", async () => {
    const columns = (row: Readonly<Record<string, unknown>>): Record<string, unknown> => ({
      text: row["body"],
      label: row["team"],
    });
    expect(rowsFrom(tickets, { columns })).toEqual(expected);
    expect(await rowsFrom(() => tickets, { columns }).toArray()).toEqual(expected);
  });

  it("values of databases: dates, bigints, what says its JSON", () => {
    const decimal = { toJSON: () => "1.5" };
    const text = { when: new Date(0), n: 12n, big: 2n ** 60n, decimal };
    const [row] = rowsFrom([{ toJSON: () => ({ ...text, label: "x" }) }], {
      template: "{when} {n} {big} {decimal}",
      target: "{label}",
    });
    expect(row).toMatchObject({ prompt: "1970-01-01 00:00:00 12 1152921504606846976 1.5" });
  });
});

describe("faults", () => {
  const bad: [string, unknown, object, RegExp][] = [
    ["a path", "rows.csv", {}, /\[option\] rowsFrom got the text "rows.csv".*loadDataset\("rows.csv"\)/],
    ["a promise", Promise.resolve(tickets), {}, /got a promise.*await/],
    ["an object", { text: "a" }, {}, /\[option\] rowsFrom got an object with text/],
    ["no rows", [], {}, /\[data\] what was given holds no rows/],
    ["texts", ["a", "b"], {}, /2 items that cannot be a row: row 1: "a" is not an object; row 2/],
    ["an unknown option", tickets, { lable: "team" }, /\[option\] rowsFrom has no option "lable".*label/],
    ["an unknown slot", tickets, { columns: { txt: "body" }, kind: "classify" }, /"txt".*text/],
    ["a wrong column", tickets, { text: "bdy", label: "team" }, /Missing column "bdy".*"body"/],
    [
      "rows of mixed kinds",
      [{ prompt: "a", completion: "b" }, { messages: [] }, { prompt: "a" }],
      {},
      /row 1: no value for "messages" \(it has prompt, completion\); row 3: .*row 2: messages is \[\], not a list/,
    ],
    [
      "a mapping and a name",
      tickets,
      { text: "body", columns: () => ({}) },
      /\[option\] columns is a function/,
    ],
    [
      "a mapping that throws",
      tickets,
      { columns: (row: { x: { y: 1 } }) => row.x.y },
      /function columns fails on 3 rows.*row 1: it throws/,
    ],
    [
      "a mapping to nothing",
      tickets,
      { columns: () => undefined },
      /row 1: it gives undefined, not an object/,
    ],
  ];
  it.each(bad)("%s", async (_name, given, more, message) => {
    const call = async (): Promise<unknown> => rowsFrom(given as object[], { ...quiet, ...more });
    await expect(call()).rejects.toThrow(message);
  });
  it.each(bad.slice(3))("of a stream: %s", async (_name, given, more, message) => {
    const source = (): object[] => given as object[];
    const text = message.source.replace("fails on 3 rows", "fails on 1 row");
    const call = async (): Promise<unknown> => rowsFrom(source, { ...quiet, ...more }).toArray();
    await expect(call()).rejects.toThrow(new RegExp(text));
  });

  it("a source that throws: the row is named, the cause kept", async () => {
    const cause = new Error("connection lost");
    async function* failing(): AsyncGenerator<object> {
      yield tickets[0]!;
      throw cause;
    }
    for (const given of [failing(), failing, () => Promise.reject(cause)])
      await expect(rowsFrom(given, options).toArray()).rejects.toMatchObject({
        code: "data",
        message: expect.stringMatching(/Row [12] could not be read.*connection lost/),
        cause,
      });
    function* sync(): Generator<object> {
      yield* failingSync();
    }
    function* failingSync(): Generator<object> {
      yield tickets[0]!;
      throw cause;
    }
    expect(() => rowsFrom(sync(), options)).toThrow(/Row 2 could not be read/);
  });

  it("a fault far down a stream is said before a run begins, with all others", async () => {
    const list = [...counted(2000), { text: "a" }, ...counted(500), 7];
    await expect(rowsFrom(() => list as object[]).open()).rejects.toThrow(/row 2502: 7 is not an object/);
    await expect(rowsFrom(() => list.slice(0, -1)).open()).rejects.toThrow(
      /1 row .*row 2001: no value for "label"/,
    );
  });

  it("an iterable without end is not read into memory", () => {
    expect(() => rowsFrom(counted(Infinity))).toThrow(/more than 1000000 rows.*rowsFrom\(\(\) => open/);
  });
});
