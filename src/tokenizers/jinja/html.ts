import type { Budget } from "./budget.js";

/** The texts of HTML that stand for its marks. */
const html: { readonly [char: string]: string } = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};

export function escapeHtml(source: string, budget: Budget): string {
  const made = source.replace(/[&<>'"]/g, (char) => html[char] ?? char);
  budget.spendText(made.length);
  return made;
}

/** Takes tags and comments out, and white space together. */
export function stripTags(source: string): string {
  let kept = "";
  let at = 0;
  for (let open = source.indexOf("<"); open >= 0; open = source.indexOf("<", at)) {
    const close = source.startsWith("<!--", open) ? "-->" : ">";
    const end = source.indexOf(close, open);
    if (end < 0) break;
    kept += source.slice(at, open);
    at = end + close.length;
  }
  const words = (kept + source.slice(at)).split(/\s+/).filter((word) => word !== "");
  return words.join(" ").replace(/&(amp|lt|gt|quot|#39|#34);/g, (_, name: string) => entities[name] ?? "");
}

const entities: { readonly [name: string]: string } = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  "#34": '"',
  "#39": "'",
};
