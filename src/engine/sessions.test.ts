import { describe, expect, it } from "vitest";
import { Graph } from "../graph/graph.js";
import { below, random } from "../random.js";
import type { NamedProgram, Schedule } from "./messages.js";
import { toProgram } from "./program.js";
import { Sessions } from "./sessions.js";

const HIDDEN = 64;
const LONGEST = 512;

/** [tokens, hidden] -> [tokens, tokens] -> [tokens, hidden] */
function block(name: string): NamedProgram {
  const g = new Graph();
  const x = g.input("x", ["tokens", HIDDEN]);
  const scores = g.softmax(g.matmul(x, g.transpose(x, [1, 0])));
  const program = toProgram({ y: g.matmul(scores, x) });
  return { name, program, fed: undefined, forwardOnly: false };
}

/** The same block three times, its results in buffers that serve again. */
const chain: Schedule = {
  programs: [block("block")],
  steps: [1, 2, 3].map((i) => {
    const [from, to] = [`t${i - 1}`, `t${i}`];
    return { program: "block", inputs: { x: from }, weights: {}, outputs: { y: to }, free: [from] };
  }),
  results: { y: "t3" },
  dims: { tokens: { value: "t0", axis: 0, less: [] } },
};

/** The same on a session of its own. */
const other: Schedule = {
  ...chain,
  programs: [block("other")],
  steps: chain.steps.map((step) => ({ ...step, program: "other" })),
};

type Run = (tokens: number, schedule?: string) => Promise<Sessions["memory"]>;

/** @param arenas - bytes that arenas may take */
async function opened(arenas: number = Number.POSITIVE_INFINITY): Promise<Run> {
  const options = { threads: 1, device: "cpu", resident: "f32", keep: undefined } as const;
  const sessions = await Sessions.open(options, new Map());
  await sessions.handle({ kind: "compile", name: "chain", schedule: chain });
  await sessions.handle({ kind: "compile", name: "other", schedule: other });
  return async (tokens, schedule = "chain") => {
    const x = { dtype: "f32", shape: [tokens, HIDDEN], data: new Float32Array(tokens * HIDDEN) } as const;
    const request = { schedule, feeds: { t0: x }, keep: {}, entries: {}, pack: [], arenas };
    await sessions.handle({ kind: "run", request });
    return sessions.memory;
  };
}

describe("Sessions", () => {
  it("keep no more for runs of differing lengths than for the longest alone", async () => {
    const [many, one] = [await opened(), await opened()];
    const next = random(0);
    for (let run = 0; run < 100; run++) await many(1 + below(next, LONGEST));
    const [after, longest] = [await many(LONGEST), await one(LONGEST)];
    expect(after.buffers).toBe(longest.buffers);
    expect(after.sessions).toBeLessThan(1.6 * longest.sessions);
  });

  it("of another schedule are released only where arenas would pass what they may", async () => {
    const alone = (await (await opened())(LONGEST)).sessions;
    const [both, one] = [await opened(2 * alone), await opened(2 * alone - 1)];
    await both(LONGEST, "other");
    expect((await both(LONGEST, "chain")).sessions).toBe(2 * alone);
    await one(LONGEST, "other");
    expect((await one(LONGEST, "chain")).sessions).toBe(alone);
  });
});
