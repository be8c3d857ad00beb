/** Files of a folder that describe its tokenizer and its chat template. */
export const TOKENIZER_FILE: RegExp =
  /^(tokenizer.*|vocab\..*|merges\.txt|special_tokens_map\.json|added_tokens\.json|spiece\.model|chat_template\..*)$/;
