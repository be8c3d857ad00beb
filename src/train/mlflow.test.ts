import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import type { EndEvent, StepEvent } from "./events.js";
import { MlflowRun } from "./mlflow.js";

let server: Server | undefined;
afterEach(() => server?.close());

/** A server that answers as MLflow's; `broken`: only until that request. */
async function serve(
  broken = Infinity,
): Promise<{ url: string; asked: [string, Record<string, unknown>][] }> {
  const asked: [string, Record<string, unknown>][] = [];
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const path = request.url?.replace("/api/2.0/mlflow", "") ?? "";
      asked.push([path, body === "" ? {} : JSON.parse(body)]);
      const answers: Record<string, object> = {
        "/experiments/create": { experiment_id: "7" },
        "/runs/create": { run: { info: { run_id: "r1" } } },
      };
      const isKnown = !path.startsWith("/experiments/get-by-name");
      response.statusCode = asked.length >= broken ? 500 : isKnown ? 200 : 404;
      response.end(JSON.stringify(answers[path] ?? {}));
    });
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked };
}

const step: StepEvent = {
  ...{ type: "step", step: 1, totalSteps: 2, epoch: 1, loss: 0.5, lr: 0.1, gradNorm: Number.NaN },
  ...{ tokens: 9, tokensPerSecond: 3, memoryBytes: 8, secondsLeft: 1 },
};
const end: EndEvent = {
  ...{ type: "end", reason: "finished", step: 2, loss: 0.4, tokens: 9, seconds: 1, peakMemoryBytes: 8 },
};
const run = { name: "teams", params: [["lr", "0.1"]] as const, now: (): number => 1000 };

it("makes the experiment, a run with its options, sends numbers in batches, and ends it", async () => {
  const { url, asked } = await serve();
  const mlflow = await MlflowRun.start(url, run);
  expect(await mlflow.record(step)).toBeUndefined();
  expect(asked.map(([path]) => path)).toEqual([
    "/experiments/get-by-name?experiment_name=peft.js",
    "/experiments/create",
    "/runs/create",
    "/runs/log-batch",
  ]);
  expect(asked[2]?.[1]).toMatchObject({ experiment_id: "7", run_name: "teams", start_time: 1000 });
  expect(asked[3]?.[1]).toEqual({ run_id: "r1", params: [{ key: "lr", value: "0.1" }] });
  expect(await mlflow.record(end)).toBeUndefined();
  const metrics = (asked[4]?.[1]["metrics"] ?? []) as { key: string }[];
  expect(metrics[0]).toEqual({ key: "train/loss", value: 0.5, timestamp: 1000, step: 1 });
  expect(metrics.map(({ key }) => key)).not.toContain("train/grad_norm");
  expect(asked[5]).toEqual(["/runs/update", { run_id: "r1", status: "FINISHED", end_time: 1000 }]);
  await mlflow.fail();
  expect(asked).toHaveLength(6);
});

it("says once that the server failed, and lets the run go on; a run that breaks off is failed", async () => {
  const { url, asked } = await serve(5);
  const mlflow = await MlflowRun.start(url, run);
  expect(await mlflow.record({ ...end, reason: "aborted" })).toMatch(/^127\.0\.0\.1:\d+ answered 500: \{\}$/);
  expect(await mlflow.record(end)).toBeUndefined();
  expect(asked).toHaveLength(5);
  server?.close();
  const whole = await serve();
  await (await MlflowRun.start(whole.url, run)).fail();
  expect(whole.asked.at(-1)?.[1]).toMatchObject({ status: "FAILED" });
  await expect(MlflowRun.start("http://127.0.0.1:1", run)).rejects.toThrow();
});
