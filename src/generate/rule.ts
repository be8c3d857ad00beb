/**
 * A rule on one row: reads the ids so far (prompt, its padding and what was generated), changes the scores in
 * place. `padding`: how many of the first ids are padding. It keeps no state, so rows and steps are
 * independent.
 */
export type Rule = (ids: Int32Array, scores: Float32Array, padding: number) => void;
