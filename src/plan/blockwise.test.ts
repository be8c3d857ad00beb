import { describe, expect, it } from "vitest";
import { inputsOf } from "../engine/program.js";
import { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { blockwise } from "./blockwise.js";
import type { Names, Planned } from "./planned.js";

function namesOfPrograms(): Names {
  const names = new Map<string, string>();
  return {
    weightOf: ({ weight }) => weight,
    typeOf: () => ({ format: "f32", transposed: false }),
    program: (content) => {
      const name = names.get(content) ?? `p${names.size}`;
      names.set(content, name);
      return name;
    },
  };
}

/** Layers of products over so many numbers are kept where that is asked for. */
const WIDTH = 32;

/** exp(x) -> layers of a weight, a trained scale and relu -> the sum of the head's result. */
function planned(
  layers: number,
  how: { trains: readonly number[]; keeps?: (block: number) => boolean },
): Planned {
  const g = new Graph();
  const trained: Tensor<"input">[] = [];
  let x: Tensor = g.exp(g.input("x", ["batch", WIDTH]));
  for (let i = 0; i < layers; i++) {
    const scale = g.input(`scale${i}`, [WIDTH]);
    if (how.trains.includes(i)) trained.push(scale);
    x = g.block(`layers.${i}`, { x }, { scale }, ({ x: from }, { scale: own }) => ({
      x: g.relu(g.mul(g.linear(from, g.weight(`layers.${i}.w`, [WIDTH, WIDTH])), own)),
    })).x;
  }
  const head = g.linear(x, g.weight("head", [3, WIDTH]));
  const loss = g.sum(head);
  const wanted = { outputs: { head }, loss: trained.length > 0 ? loss : undefined, trained };
  return blockwise(g, wanted, namesOfPrograms(), how.keeps ?? (() => false));
}

const programsOf = ({ schedule }: Planned): string[] => schedule.steps.map(({ program }) => program);

describe("blockwise", () => {
  it("runs blocks of one kind by one program, each with its own weights", () => {
    const plan = planned(3, { trains: [] });
    expect(programsOf(plan)).toEqual(["p0", "p1", "p1", "p1", "p2"]);
    const { steps, results } = plan.schedule;
    expect(steps.map(({ weights }) => Object.values(weights))).toEqual([
      [],
      ["layers.0.w"],
      ["layers.1.w"],
      ["layers.2.w"],
      [],
    ]);
    expect(Object.values(steps[4]!.outputs)).toContain(results["head"]);
    expect([...plan.inputs].toSorted()).toEqual(["scale0", "scale1", "scale2", "x"]);
    expect(plan.gradients).toEqual([]);
  });

  it("hands what a block makes to the next one, and frees it when nobody reads it any more", () => {
    const { steps } = planned(3, { trains: [] }).schedule;
    for (const [i, step] of steps.slice(0, -1).entries()) {
      const [made] = Object.values(step.outputs);
      expect(Object.values(steps[i + 1]!.inputs)).toContain(made);
      expect(steps[i + 1]!.free).toContain(made);
    }
  });

  it("goes back through the blocks in reverse, by one program, and gives each trained input's gradient", () => {
    const plan = planned(3, { trains: [0, 1, 2] });
    const [, a, b, c, turn, ...back] = programsOf(plan);
    expect([a, b, c]).toEqual([a, a, a]);
    expect(new Set(back)).toEqual(new Set([back[0]]));
    expect(new Set([a, turn, back[0]]).size).toBe(3);
    expect(plan.schedule.steps.slice(5).map(({ weights }) => Object.values(weights))).toEqual([
      ["layers.2.w"],
      ["layers.1.w"],
      ["layers.0.w"],
    ]);
    expect(plan.gradients.toSorted()).toEqual(["scale0", "scale1", "scale2"]);
    for (const name of plan.gradients)
      expect(plan.schedule.results[`gradient:${name}`]).toBe(`gradient:${name}`);
  });

  it("ends the way back at the lowest block that trains, and leaves out those above that do not lead there", () => {
    const plan = planned(4, { trains: [2] });
    expect(plan.gradients).toEqual(["scale2"]);
    const back = plan.schedule.steps.slice(6);
    expect(back.map(({ weights }) => Object.values(weights))).toEqual([["layers.3.w"], ["layers.2.w"]]);
  });

  it("keeps products where it is told to: the way back reads them in place of the weight's product", () => {
    const again = planned(2, { trains: [0, 1] });
    const kept = planned(2, { trains: [0, 1], keeps: (block) => block === 1 });
    const [, , second] = kept.schedule.steps;
    const residuals = Object.values(second!.outputs).filter((value) => value.startsWith("r"));
    expect(residuals.length).toBeGreaterThan(0);
    const readers = kept.schedule.steps.filter(({ inputs }) => Object.values(inputs).includes(residuals[0]!));
    expect(readers).toHaveLength(1);
    expect(Object.values(readers[0]!.outputs)).toContain("gradient:scale1");
    const programs = new Map(kept.schedule.programs.map(({ name, program }) => [name, program]));
    expect(inputsOf(programs.get(readers[0]!.program)!)).toContain("r0");
    expect(again.schedule.steps.flatMap(({ outputs }) => Object.values(outputs)).join()).not.toMatch(/\br\d/);
  });

  it("asks the run's feeds for the sizes that programs speak of", () => {
    expect(Object.keys(planned(2, { trains: [0] }).schedule.dims)).toEqual(["batch"]);
  });
});
