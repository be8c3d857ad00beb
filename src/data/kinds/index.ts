import type { Row, RowKind } from "../row.js";
import { chat } from "./chat.js";
import { classify } from "./classify.js";
import { document } from "./document.js";
import { judged } from "./judged.js";
import type { Kind } from "./kind.js";
import { picture } from "./picture.js";
import { preference } from "./preference.js";
import { prompt } from "./prompt.js";
import { question } from "./question.js";
import { similarity } from "./similarity.js";
import { sound } from "./sound.js";
import { speech } from "./speech.js";
import { text } from "./text.js";
import { tokens } from "./tokens.js";

/** Every kind of row, in the order in which columns are tried for them. */
export const kinds: { readonly [K in RowKind]: Kind<Row> } = {
  chat,
  document,
  question,
  tokens,
  preference,
  prompt,
  judged,
  classify,
  speech,
  picture,
  sound,
  similarity,
  text,
};
