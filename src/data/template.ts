import { PeftError } from "../errors.js";

/** A text with columns in it: `Tweet text : {Tweet text} Label : `. `{{` and `}}` stand for braces. */
export interface Template {
  readonly source: string;
  readonly columns: readonly string[];
  /** Fixed text and column names in turn; a column is `{ column }`. */
  readonly parts: readonly (string | { readonly column: string })[];
}

/** Reads a template. Throws `data` on a brace without its other half. */
export function parseTemplate(source: string): Template {
  const parts: (string | { column: string })[] = [];
  let text = "";
  for (let i = 0; i < source.length; i++) {
    const c = source[i]!;
    if ((c === "{" || c === "}") && source[i + 1] === c) {
      text += c;
      i++;
    } else if (c === "{") {
      const close = source.indexOf("}", i);
      const column = source.slice(i + 1, close);
      if (close < 0 || column.trim() === "" || column.includes("{")) throw badBrace(source, i);
      if (text !== "") parts.push(text);
      parts.push({ column });
      text = "";
      i = close;
    } else if (c === "}") throw badBrace(source, i);
    else text += c;
  }
  if (text !== "") parts.push(text);
  const columns = parts.flatMap((part) => (typeof part === "string" ? [] : [part.column]));
  return { source, columns: [...new Set(columns)], parts };
}

function badBrace(source: string, i: number): PeftError {
  return new PeftError("data", {
    what: `The template ${JSON.stringify(source)} has a brace at character ${i + 1} that names no column.`,
    why: "a column is written {name}, and each brace needs its other half.",
    fix: "write {{ or }} for a brace that is meant as text.",
  });
}

/** The template's text for one row. `value` gives a column's text. */
export function fillTemplate(template: Template, value: (column: string) => string): string {
  return template.parts.map((part) => (typeof part === "string" ? part : value(part.column))).join("");
}
