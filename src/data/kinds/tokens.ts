import type { TokensRow } from "../row.js";
import { isScalar, print, show } from "../tables/values.js";
import { asList, type Kind, type LabelSlot, listOrWords } from "./kind.js";
import { nameIds, namesOf } from "./labels.js";

const labels: LabelSlot = {
  slot: "tags",
  parts: (value) => listOrWords(value) ?? [],
  settle: (tags, options) => ({ ...options, labels: namesOf(tags, options.labels) }),
};

/** Words with a tag each (name or id; -100 is not learnt), as lists or as texts split at white space. */
export const tokens: Kind<TokensRow> = {
  kind: "tokens",
  slots: {
    words: { names: ["tokens", "words"] },
    tags: { names: ["ner_tags", "tags", "pos_tags", "labels"] },
  },
  labels,
  convert(entries, faults, options) {
    const tagged = entries.flatMap((entry) => {
      const words = asList(entry, "words", faults);
      const tags = asList(entry, "tags", faults);
      if (words === undefined || tags === undefined) return [];
      const strange = words.find((word) => !isScalar(word));
      if (strange !== undefined) faults.push({ at: entry.at, says: `the word ${show(strange)} is not text` });
      else if (words.length === tags.length && words.length > 0)
        return [{ at: entry.at, words: words.map(print), tags }];
      else faults.push({ at: entry.at, says: `${words.length} words, but ${tags.length} tags` });
      return [];
    });
    const names = namesOf(
      tagged.flatMap(({ tags }) => tags),
      options.labels,
    );
    const read = nameIds(names);
    return tagged.flatMap(({ at, words, tags }) => {
      const ids = tags.flatMap((tag) => read(tag, at, faults) ?? []);
      if (ids.length < tags.length) return [];
      return [{ kind: "tokens" as const, at, words, tags: ids, labelNames: names }];
    });
  },
};
