import type { BoxRules } from "../tokenizers/boxes.js";

/**
 * What this folder needs of a tokenizer, as a structure: `src/tokenizers` fits it, and so does a test's own.
 */

/** What data ask of an encoding. */
export interface EncodeTextOptions {
  textPair?: string | string[];
  addSpecialTokens?: boolean;
  truncation?: boolean | "longest_first" | "only_first" | "only_second";
  maxLength?: number;
  returnOffsets?: boolean;
}

/**
 * Ids of one or more texts, unpadded. Offsets are [start, end) in UTF-16 units of the text a token comes
 * from.
 */
export interface EncodedText {
  inputIds: number[][];
  attentionMask: number[][];
  tokenTypeIds?: number[][];
  offsets?: [number, number][][];
  truncated?: number;
}

/** Templates may read more of a message than role and content: tool_calls, name, reasoning_content. */
export type Message = {
  readonly role: string;
  readonly content: string;
  readonly [key: string]: unknown;
};

/** A chat as token ids. */
export interface EncodedChat {
  inputIds: number[][];
  /** 1 on the tokens that the assistant writes. */
  assistantMask?: number[][];
}

/** What data ask of a tokenizer; a `Tokenizer` has it. */
export interface TokenizerLike {
  (text: string | string[], options?: EncodeTextOptions): EncodedText;
  decode(ids: number[], options?: { skipSpecialTokens?: boolean; groupTokens?: boolean }): string;
  /** The template itself, if the tokenizer has one. */
  readonly chatTemplate?: string | undefined;
  applyChatTemplate?(
    messages: readonly Message[],
    options: { tokenize: false; tools?: readonly unknown[]; addGenerationPrompt?: boolean },
  ): string;
  applyChatTemplate?(
    messages: readonly Message[],
    options: { returnAssistantMask: true; tools?: readonly unknown[] },
  ): EncodedChat;
  readonly padTokenId?: number | undefined;
  readonly eosTokenId?: number | undefined;
  readonly unkTokenId?: number | undefined;
  readonly bosTokenId?: number | undefined;
  readonly clsTokenId?: number | undefined;
  readonly sepTokenId?: number | undefined;
  /** Boxes of special tokens, where the tokenizer's files say them. */
  readonly boxes?: BoxRules | undefined;
  readonly modelMaxLength?: number | undefined;
  readonly paddingSide: "left" | "right";
  /** Writes the files that make it: a run leaves them beside its adapter. */
  savePretrained?(folder: string): Promise<void>;
}

/** Access to files, so that the same code runs in Node and in a browser. */
export interface Reader {
  read(path: string, offset: number, length: number): Promise<Uint8Array>;
  size(path: string): Promise<number>;
}
