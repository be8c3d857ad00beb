import type { TaskType } from "../batch.js";
import { causalLM } from "./causal_lm.js";
import type { Encoder } from "./encoder.js";
import { featureExtraction } from "./feature_extraction.js";
import { questionAns } from "./question_ans.js";
import { seq2SeqLM } from "./seq_2_seq_lm.js";
import { seqCls } from "./seq_cls.js";
import { tokenCls } from "./token_cls.js";

export const encoders: { readonly [T in TaskType]: Encoder<T> } = {
  CAUSAL_LM: causalLM,
  SEQ_2_SEQ_LM: seq2SeqLM,
  SEQ_CLS: seqCls,
  TOKEN_CLS: tokenCls,
  QUESTION_ANS: questionAns,
  FEATURE_EXTRACTION: featureExtraction,
};
