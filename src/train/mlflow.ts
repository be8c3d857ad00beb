import { environment } from "../hub/files.js";
import { isRecord, messageOf } from "../narrow.js";
import type { EndEvent, TrainEvent } from "./events.js";
import { scalarsOf } from "./scalars.js";

// MLflow's tracking server by its REST interface. Reference: mlflow.org/docs/latest/rest-api.html

/** Metrics wait this long at most before they are sent, and so long for an answer. */
const SEND_MILLISECONDS = 5000;
const WAIT_MILLISECONDS = 10_000;
/** What one request may hold by MLflow's limits. */
const MOST_METRICS = 1000;
const MOST_PARAMS = 100;
const MOST_LETTERS = 6000;

interface Metric {
  readonly key: string;
  readonly value: number;
  readonly timestamp: number;
  readonly step: number;
}

/** What a run is called and was asked for. */
export interface TrackedRun {
  readonly name: string;
  readonly params: readonly (readonly [name: string, value: string])[];
  /** Gives the time in milliseconds. */
  readonly now: () => number;
}

/** A run on a tracking server. A server that fails is told of once and then left alone: training goes on. */
export class MlflowRun {
  readonly #url: string;
  readonly #id: string;
  readonly #now: () => number;
  #waiting: Metric[] = [];
  #sent: number;
  #isBroken = false;

  private constructor(url: string, id: string, now: () => number) {
    this.#url = url;
    this.#id = id;
    this.#now = now;
    this.#sent = now();
  }

  /** Starts a run in the experiment MLFLOW_EXPERIMENT_NAME, or "peft.js". Throws where the server refuses. */
  static async start(server: string, { name, params, now }: TrackedRun): Promise<MlflowRun> {
    const url = `${server.replace(/\/+$/, "")}/api/2.0/mlflow`;
    const experiment = await experimentId(url, environment()["MLFLOW_EXPERIMENT_NAME"] || "peft.js");
    const tags = [{ key: "mlflow.source.name", value: "peft.js" }];
    const begun = { experiment_id: experiment, run_name: name, start_time: now(), tags };
    const answer = await ask(`${url}/runs/create`, begun);
    const run = new MlflowRun(url, textAt(answer, "run", "info", "run_id"), now);
    for (let i = 0; i < params.length; i += MOST_PARAMS) {
      const some = params.slice(i, i + MOST_PARAMS);
      const batch = some.map(([key, value]) => ({ key, value: value.slice(0, MOST_LETTERS) }));
      await ask(`${url}/runs/log-batch`, { run_id: run.#id, params: batch });
    }
    return run;
  }

  /** Sends an event's numbers, at the latest some seconds after it. What failed, in words, the first time. */
  async record(event: TrainEvent): Promise<string | undefined> {
    if (this.#isBroken) return undefined;
    const timestamp = this.#now();
    const step = "step" in event ? event.step : 0;
    this.#waiting.push(...scalarsOf(event).map(([key, value]) => ({ key, value, timestamp, step })));
    if (event.type !== "end" && timestamp - this.#sent < SEND_MILLISECONDS) return undefined;
    return this.#trying(async () => {
      await this.#flush();
      if (event.type === "end") await this.#end(statusOf(event));
    });
  }

  /** The run broke off: an error, or a caller who reads no further. After its end, nothing. */
  async fail(): Promise<void> {
    await this.#trying(async () => {
      await this.#flush();
      await this.#end("FAILED");
    });
  }

  async #flush(): Promise<void> {
    this.#sent = this.#now();
    while (this.#waiting.length > 0) {
      const metrics = this.#waiting.splice(0, MOST_METRICS);
      await ask(`${this.#url}/runs/log-batch`, { run_id: this.#id, metrics });
    }
  }

  async #end(status: string): Promise<void> {
    await ask(`${this.#url}/runs/update`, { run_id: this.#id, status, end_time: this.#now() });
    this.#isBroken = true; // nothing more is sent
  }

  async #trying(work: () => Promise<void>): Promise<string | undefined> {
    if (this.#isBroken) return undefined;
    try {
      await work();
      return undefined;
    } catch (error) {
      this.#isBroken = true;
      return messageOf(error);
    }
  }
}

function statusOf({ reason }: EndEvent): string {
  return reason === "aborted" ? "KILLED" : "FINISHED";
}

async function experimentId(url: string, name: string): Promise<string> {
  const query = `${url}/experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
  const found = await ask(query, undefined, [404]);
  if (found !== undefined) return textAt(found, "experiment", "experiment_id");
  return textAt(await ask(`${url}/experiments/create`, { name }), "experiment_id");
}

/** An answer; undefined where it has one of these statuses. Throws what the server says. */
async function ask(url: string, body?: object, none: readonly number[] = []): Promise<unknown> {
  const token = environment()["MLFLOW_TRACKING_TOKEN"];
  const answer = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined || token === "" ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    redirect: "error", // a token goes nowhere else
    signal: AbortSignal.timeout(WAIT_MILLISECONDS),
  });
  const text = (await answer.text()).slice(0, 1 << 20);
  if (none.includes(answer.status)) return undefined;
  if (!answer.ok) throw new Error(`${new URL(url).host} answered ${answer.status}: ${text.slice(0, 200)}`);
  return JSON.parse(text);
}

/** A text within an answer. */
function textAt(value: unknown, ...path: readonly string[]): string {
  let found = value;
  for (const name of path) found = isRecord(found) ? found[name] : undefined;
  if (typeof found !== "string")
    throw new Error(`the answer has no ${path.join(".")}: is it MLflow's server?`);
  return found;
}
