import { PreTrainedModel } from "../../src/peft/base_model.js";
import { AutoTokenizer } from "../../src/tokenizers/auto.js";
import type { Tokenizer } from "../../src/tokenizers/tokenizer.js";
import { json } from "./files.js";
import type { CaseResult } from "./result.js";
import type { Check } from "./tensors.js";
import { equal, exact } from "./tensors.js";

interface TokenizerFile {
  readonly strings?: readonly { text: string; ids: number[]; decoded: string }[];
  readonly pair: Readonly<Record<string, number[]>>;
  readonly truncated_to_6: number[];
}

/** Ids, decoded text, a pair and truncation; of a text model's tokenizer its texts. */
export async function runTokenizer(folder: string): Promise<CaseResult> {
  const { strings, pair, truncated_to_6, ...more } = json<TokenizerFile>(folder, "expect.json");
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  if (strings === undefined) return { checks: textChecks(tokenizer, json(folder, "expect.json")) };
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
  const file = json<TextFile>(folder, "expect.json");
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const model = await PreTrainedModel.load("SEQ_2_SEQ_LM", folder);
  try {
    const encoded = tokenizer(file.texts, { padding: true });
    const got = await model.generate(encoded, { maxNewTokens: 8, doSample: false });
    return { checks: [...textChecks(tokenizer, file), equal("generate.ids", got, file.generated)] };
  } finally {
    await model.close();
  }
}

function textChecks(tokenizer: Tokenizer, file: TextFile): Check[] {
  const { texts, input_ids, generated, decoded, ...more } = file;
  return [
    equal("ids.texts", tokenizer(texts, { padding: true }).inputIds, input_ids),
    equal("decoded.generated", tokenizer.batchDecode(generated, { skipSpecialTokens: true }), decoded),
    ...unknownKeys(more),
  ];
}

export function unknownKeys(rest: object): Check[] {
  return Object.keys(rest).map((key) => exact(`unknown.${key}`, false, "nothing checks this key"));
}
