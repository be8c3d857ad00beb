import { PreTrainedModel } from "../../src/peft/base_model.js";
import { AutoTokenizer } from "../../src/tokenizers/auto.js";
import { json } from "./files.js";
import type { CaseResult } from "./kit.js";
import type { Check } from "./tensors.js";
import { equal, exact } from "./tensors.js";

interface TokenizerFile {
  readonly strings: readonly { text: string; ids: number[]; decoded: string }[];
  readonly pair: Readonly<Record<string, number[]>>;
  readonly truncated_to_6: number[];
}

/** Ids, decoded text, a pair and truncation. */
export async function runTokenizer(folder: string): Promise<CaseResult> {
  const { strings, pair, truncated_to_6, ...more } = json<TokenizerFile>(folder, "expect.json");
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const checks: Check[] = unknownKeys(more);
  for (const [i, { text, ids, decoded, ...others }] of strings.entries())
    checks.push(
      equal(`ids.${i}`, tokenizer(text).inputIds[0], ids),
      equal(`decoded.${i}`, tokenizer.decode(ids, { skipSpecialTokens: true }), decoded),
      ...unknownKeys(others),
    );
  const got = tokenizer("first part", { textPair: "second part" });
  const { input_ids, attention_mask, token_type_ids, ...others } = pair;
  checks.push(
    equal("pair.ids", got.inputIds[0], input_ids),
    equal("pair.mask", got.attentionMask[0], attention_mask),
  );
  checks.push(equal("pair.types", got.tokenTypeIds?.[0], token_type_ids), ...unknownKeys(others));
  const long = strings[4]?.text ?? "";
  const cut = tokenizer(long, { truncation: true, maxLength: 6 });
  checks.push(equal("truncation.ids", cut.inputIds[0], truncated_to_6));
  return { checks };
}

interface TextFile {
  readonly texts: readonly string[];
  readonly input_ids: number[][];
  readonly generated: number[][];
  readonly decoded: string[];
}

/** From a string to a string: texts, ids, generated ids, decoded text. */
export async function runText(folder: string): Promise<CaseResult> {
  const { texts, input_ids, generated, decoded, ...more } = json<TextFile>(folder, "expect.json");
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const model = await PreTrainedModel.load("SEQ_2_SEQ_LM", folder);
  try {
    const encoded = tokenizer(texts, { padding: true });
    const got = await model.generate(encoded, { maxNewTokens: 8, doSample: false });
    const checks = [
      equal("ids.texts", encoded.inputIds, input_ids),
      equal("generate.ids", got, generated),
      equal("decoded.generated", tokenizer.batchDecode(got, { skipSpecialTokens: true }), decoded),
    ];
    return { checks: [...checks, ...unknownKeys(more)] };
  } finally {
    await model.close();
  }
}

export function unknownKeys(rest: object): Check[] {
  return Object.keys(rest).map((key) => exact(`unknown.${key}`, false, "nothing checks this key"));
}
