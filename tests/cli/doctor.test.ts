import { expect, test, vi } from "vitest";
import { main } from "../../src/cli/main.js";
import { nodeTerminal } from "../../src/cli/terminal.js";
import { inspectMachine } from "../../src/index.js";

test("peft doctor says what works here, as text and as JSON; offline it asks nobody", async () => {
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  let said = "";
  const add = (text: unknown): void => void (said += `${text}\n`);
  const terminal = { ...nodeTerminal(), print: add, write: add, note: add };
  expect(await main(["doctor"], terminal)).toBe(0);
  expect(said).toMatch(/^engine {6}ONNX Runtime \d+\.\d+\.\d+; devices: cpu.*; int8 in [78] bits$/m);
  expect(said).toMatch(/^Hub .*: offline; /m);
  expect(said).toMatch(/HF_HUB_OFFLINE is set[^\n]*\n {2}unset it/);
  said = "";
  expect(await main(["doctor", "--json"], terminal)).toBe(0);
  const report = JSON.parse(said);
  expect(report).toMatchObject({ node: process.versions.node, hub: { isOffline: true, isReached: false } });
  expect(report.peft).toMatch(/^\d+\.\d+\.\d+/);
  expect(report.engine.devices).toContain("cpu");
  expect(report.memory.total).toBeGreaterThan(report.memory.available);
  vi.unstubAllEnvs();
});

test("a Hub that does not answer is given up in time, and one that does is reached", async () => {
  const env = { HF_TOKEN: "hf_x", HF_HOME: "/nowhere/hf" };
  const silent: typeof fetch = (_, init) =>
    new Promise((_resolve, reject) =>
      init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)),
    );
  const late = await inspectMachine({ env, fetch: silent, patience: 20 });
  expect(late.hub).toMatchObject({
    isReached: false,
    hasToken: true,
    fault: expect.stringMatching(/timeout/),
  });
  expect(late.advice.map(({ help }) => help).join()).toMatch(/HF_ENDPOINT/);
  expect(late.cache).toMatchObject({ repositories: 0, bytes: 0 });
  let sent: RequestInit | undefined;
  const answers: typeof fetch = async (_, init) => {
    sent = init;
    return new Response(null, { status: 200 });
  };
  const reached = await inspectMachine({ env, fetch: answers });
  expect(reached.hub).toMatchObject({ isReached: true, fault: undefined });
  expect(new Headers(sent?.headers).has("authorization")).toBe(false);
});
