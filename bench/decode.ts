import type { LoadOptions } from "../src/peft/base_model.js";
import { PreTrainedModel } from "../src/peft/base_model.js";
import { below, random } from "../src/random.js";
import { MemoryWatch } from "./memory.js";
import { loadWords } from "./options.js";
import { runReference } from "./python.js";

export interface DecodeBench {
  readonly folder: string;
  /** Tokens of the prompt, and after it. */
  readonly prompt: number;
  readonly tokens: number;
  readonly threads: number;
  readonly load: LoadOptions;
  readonly python: { readonly dtype: string; readonly skip: boolean };
}

interface Decoded {
  /** Seconds of a call for one token, and of one for all of them. */
  readonly first: number;
  readonly whole: number;
  readonly tokens: readonly number[];
  /** Bytes. */
  readonly peak: number;
}

const RUNS = 3;

/** Greedy decoding of one row of random tokens, beside transformers. */
export async function benchDecode(o: DecodeBench): Promise<void> {
  const memory = new MemoryWatch();
  const base = await PreTrainedModel.load("CAUSAL_LM", o.folder, { ...o.load, threads: o.threads });
  const next = random(1);
  const prompt = Array.from({ length: o.prompt }, () => 4 + below(next, base.config.vocabSize - 4));
  const run = async (tokens: number): Promise<{ seconds: number; tokens: number[] }> => {
    const settings = { maxNewTokens: tokens, minNewTokens: tokens, doSample: false };
    const start = performance.now();
    const [row] = await base.generate({ inputIds: [prompt] }, settings);
    return { seconds: (performance.now() - start) / 1000, tokens: row!.slice(prompt.length) };
  };
  await run(2);
  const [first, whole]: [number[], number[]] = [[], []];
  let tokens: readonly number[] = [];
  for (let i = 0; i < RUNS; i++) {
    first.push((await run(1)).seconds);
    const all = await run(o.tokens);
    whole.push(all.seconds);
    tokens = all.tokens;
    memory.lookAtFiles();
  }
  await base.close();
  const ours = { first: median(first), whole: median(whole), tokens, peak: memory.stop().peak };
  console.log(line(`peft.js${loadWords(o.load)}`, ours));
  if (!o.python.skip) await compare(ours, prompt, o);
}

async function compare(ours: Decoded, prompt: readonly number[], o: DecodeBench): Promise<void> {
  const { dtype } = o.python;
  const found = await runReference("reference_decode.py", [
    ...[o.folder, "--prompt", prompt.join(","), "--new", `${o.tokens}`],
    ...["--dtype", dtype, "--threads", `${o.threads}`, "--runs", `${RUNS}`],
  ]);
  if (found === undefined) return;
  const theirs = { ...found.json, peak: found.memory.peak } as unknown as Decoded;
  const same = ours.tokens.findIndex((token, i) => token !== theirs.tokens[i]);
  console.log(`${line(`Python (${dtype})`, theirs)} (resident set ${found.json["peak_mb"]})`);
  console.log(same === -1 ? "tokens: the same" : `tokens: the same up to ${same} of ${ours.tokens.length}`);
  console.log(
    `ratio: ${(rate(ours) / rate(theirs)).toFixed(2)} times as fast, ${(ours.peak / theirs.peak).toFixed(2)} of the memory`,
  );
}

/** Tokens a second after the first one. */
const rate = (d: Decoded): number => (d.tokens.length - 1) / (d.whole - d.first);

const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[times.length >> 1]!;

function line(who: string, d: Decoded): string {
  const all = (d.tokens.length / d.whole).toFixed(1);
  return `${who}: ${rate(d).toFixed(1)} tokens/s (first token ${Math.round(1000 * d.first)} ms; ${all} tokens/s with it), peak ${Math.round(d.peak / 2 ** 20)} MB`;
}
