import { describe, expect, it } from "vitest";
import { NumpyRandom } from "./numpy_random.js";

// By numpy 2.4: r = np.random.default_rng(seed); each line is one call, in this order.
const golden = [
  {
    seed: 0,
    few: [3, 6, 4],
    some: [819, 330, 1504, 16265, 3505],
    many: [17112, 273, 8242, 104, 9470],
    order: [5, 6, 3, 7, 8, 1, 4, 2, 9, 0],
  },
  {
    seed: 42,
    few: [6, 0, 4],
    some: [17168, 1718, 1883, 4029, 13945],
    many: [15923, 16398, 14549, 19398, 4616],
    order: [3, 4, 9, 2, 6, 7, 0, 8, 1, 5],
  },
  {
    seed: 4294967295,
    few: [5, 1, 0],
    some: [18700, 14143, 12378, 4266, 5744],
    many: [19240, 16402, 6466, 11316, 5531],
    order: [3, 2, 8, 4, 7, 5, 1, 0, 9, 6],
  },
];

describe.each(golden)("default_rng($seed)", ({ seed, few, some, many, order }) => {
  it("chooses and shuffles as numpy does", () => {
    const random = new NumpyRandom(seed);
    expect([...random.choice(7, 3)]).toEqual(few);
    expect([...random.choice(20_000, 5)]).toEqual(some);
    expect([...random.choice(20_000, 500).slice(0, 5)]).toEqual(many);
    const items = Float64Array.from({ length: 10 }, (_, i) => i);
    random.shuffle(items);
    expect([...items]).toEqual(order);
  });
});
