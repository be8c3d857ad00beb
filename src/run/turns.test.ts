import { expect, it } from "vitest";
import { Turns } from "./turns.js";

/** Work whose end the test decides, and what began and ended so far. */
function journal(): {
  log: string[];
  work: (name: string) => () => Promise<string>;
  end: (name: string) => void;
} {
  const log: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => async (): Promise<string> => {
    log.push(`+${name}`);
    await new Promise<void>((resolve) => ends.set(name, resolve));
    log.push(`-${name}`);
    return name;
  };
  return { log, work, end: (name) => ends.get(name)?.() };
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

it("work beside runs together, work alone waits for it and holds up what comes after", async () => {
  const turns = new Turns();
  const { log, work, end } = journal();
  const all = [
    turns.beside(work("a")),
    turns.beside(work("b")),
    turns.alone(work("c")),
    turns.beside(work("d")),
  ];
  await settle();
  expect(log).toEqual(["+a", "+b"]);
  end("b");
  await settle();
  expect(log).toEqual(["+a", "+b", "-b"]);
  end("a");
  await settle();
  expect(log.slice(3)).toEqual(["-a", "+c"]);
  end("c");
  await settle();
  end("d");
  expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
  expect(log.slice(5)).toEqual(["-c", "+d", "-d"]);
});

it("a failure is its caller's alone", async () => {
  const turns = new Turns();
  const failed = turns.alone(() => Promise.reject(new Error("no")));
  const beside = turns.beside(() => Promise.reject(new Error("neither")));
  const next = turns.alone(async () => "next");
  await expect(failed).rejects.toThrow("no");
  await expect(beside).rejects.toThrow("neither");
  expect(await next).toBe("next");
});
