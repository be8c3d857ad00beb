import type { TokensRow } from "../row.js";
import { asList, type Kind } from "./kind.js";
import { nameIds, namesOf } from "./labels.js";

/** Words with a tag each (name or id; -100 is not learnt), as lists or as texts split at white space. */
export const tokens: Kind<TokensRow> = {
  kind: "tokens",
  slots: {
    words: { names: ["tokens", "words"] },
    tags: { names: ["ner_tags", "tags", "pos_tags", "labels"] },
  },
  convert(entries, faults, options) {
    const tagged = entries.flatMap((entry) => {
      const words = asList(entry, "words", faults);
      const tags = asList(entry, "tags", faults);
      if (words === undefined || tags === undefined) return [];
      if (words.length === tags.length && words.length > 0) return [{ at: entry.at, words, tags }];
      faults.push({ at: entry.at, says: `${words.length} words, but ${tags.length} tags` });
      return [];
    });
    const learnt = tagged.flatMap(({ tags }) => tags.filter((tag) => tag !== -100));
    const names = namesOf(learnt, options.labels);
    const read = nameIds(names);
    return tagged.flatMap(({ at, words, tags }) => {
      const ids = tags.flatMap((tag) => read(tag, at, faults) ?? []);
      if (ids.length < tags.length) return [];
      return [{ kind: "tokens" as const, at, words: words.map(String), tags: ids, labelNames: names }];
    });
  },
};
