import { type BcoLossOptions, bcoLoss } from "../../../src/losses/bco.js";
import { type KtoLossOptions, ktoLoss } from "../../../src/losses/kto.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import type { Numbers } from "../tensors.js";
import { completionBatch, floats, ids, known } from "./batches.js";
import { numeric, type RlhfMethod, type Run, type Variant } from "./variant.js";

type Rows = TextBatch<"CAUSAL_LM">;

async function prepareKto({ model, expected, config, file }: Variant): Promise<Run> {
  const hasKl = config["loss_type"] !== "apo_zero_unpaired";
  const plain = completionBatch(expected, `${file.batch}.`);
  const mismatched = hasKl ? completionBatch(expected, `${file.batch}.KL_`) : undefined;
  const desirable = [...(expected.get(`${file.batch}.label`)?.data ?? [])];
  const referenceOf = async (batch: Rows): Promise<Float32Array> =>
    (await model.disableAdapter(() => model.logProbs(batch))).sums;
  const reference = await referenceOf(plain);
  const ofMismatched = mismatched && (await referenceOf(mismatched));
  const loss = ktoLoss(
    known<KtoLossOptions>({
      loss: config["loss_type"],
      beta: numeric(config, "beta"),
      desirableWeight: numeric(config, "desirable_weight"),
      undesirableWeight: numeric(config, "undesirable_weight"),
    }),
  );
  const kl = async (): Promise<number> => {
    if (mismatched === undefined || ofMismatched === undefined) return 0;
    const { sums } = await model.logProbs(mismatched);
    return Math.max(0, sums.reduce((total, p, i) => total + p - (ofMismatched[i] ?? 0), 0) / sums.length);
  };
  return {
    pass: async () => {
      const columns = { desirable: floats(desirable), referenceLogProbs: floats(reference) };
      const batch = { ...plain, columns: { ...columns, kl: floats([await kl()]) } };
      return await model.forwardBackward(batch, { loss, training: false });
    },
    values: async () => ({
      completion_logps: floats((await model.logProbs(plain)).sums),
      ref_completion_logps: floats(reference),
      ...(mismatched && { KL_logps: floats((await model.logProbs(mismatched)).sums) }),
      ...(ofMismatched && { ref_KL_logps: floats(ofMismatched) }),
    }),
  };
}

async function prepareBco({ model, expected, config, file }: Variant): Promise<Run> {
  const of = (name: string): ReturnType<typeof ids> => ids(expected.get(`${file.batch}.${name}`));
  const plain: Rows = {
    task: "CAUSAL_LM",
    inputIds: of("completion_input_ids"),
    attentionMask: of("completion_attention_mask"),
    labels: of("completion_labels"),
  };
  for (const part of ["answer", "prompt"])
    for (const name of ["input_ids", "attention_mask"]) expected.get(`${file.batch}.${part}_${name}`);
  const desirable = [...(expected.get(`${file.batch}.label`)?.data ?? [])];
  const { sums: reference } = await model.disableAdapter(() => model.logProbs(plain));
  const probabilities = file["probabilities"] as readonly number[] | undefined;
  const [least, most] = [
    numeric(config, "min_density_ratio") ?? 0.5,
    numeric(config, "max_density_ratio") ?? 10,
  ];
  const ratios = probabilities?.map((p) => Math.min(Math.max(p / (1 - p), least), most));
  let next = 0;
  const weights = desirable.map((label) => (label === 1 ? 1 : (ratios?.[next++] ?? 1)));
  const loss = bcoLoss(
    known<BcoLossOptions>({ beta: numeric(config, "beta"), isWeighed: ratios !== undefined }),
  );
  let soFar: readonly [mean: number, count: number] = [0, 0];
  const pass: Run["pass"] = async () => {
    const columns = {
      ...{ desirable: floats(desirable), referenceLogProbs: floats(reference), rowWeights: floats(weights) },
      rewardsSoFar: floats(soFar),
    };
    const result = await model.forwardBackward({ ...plain, columns }, { loss, training: false });
    soFar = [result.metrics?.["delta"] ?? Number.NaN, soFar[1] + desirable.length];
    return { ...result, metrics: asSums(result.metrics ?? {}, desirable) };
  };
  const sides = (name: string, sums: Float32Array): Record<string, Numbers> =>
    Object.fromEntries(
      [1, 0].map((side) => [
        `${name}_${side === 1 ? "chosen" : "rejected"}_logps`,
        floats(sums.filter((_, i) => desirable[i] === side)),
      ]),
    );
  return {
    pass,
    begin: () => {
      soFar = [0, 0];
    },
    values: async () => ({
      ...sides("policy", (await model.logProbs(plain)).sums),
      ...sides("reference", reference),
      delta: { shape: [], data: [soFar[0]] },
    }),
  };
}

/** TRL logs sums and counts, where a loss of ours says means. */
function asSums(
  metrics: Readonly<Record<string, number>>,
  desirable: readonly number[],
): Record<string, number> {
  const chosen = desirable.filter((label) => label === 1).length;
  const counts: Record<string, number> = { chosen, rejected: desirable.length - chosen };
  const sums = Object.entries(metrics).map(([name, value]) => [
    `${name}_sum`,
    value * (counts[name.split("/")[1] ?? ""] ?? 1),
  ]);
  const counted = Object.entries(counts).map(([side, count]) => [`count/${side}`, count]);
  return { ...metrics, ...Object.fromEntries([...sums, ...counted]) };
}

export const kto: RlhfMethod = { prepare: prepareKto };
export const bco: RlhfMethod = { prepare: prepareBco };
