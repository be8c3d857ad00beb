import { count, type Fault } from "../faults.js";
import type { RecordSource } from "../record_source.js";
import type { DataRecord, TableOptions } from "./table.js";
import { readText } from "./text.js";

/**
 * Pages of hOCR, which Tesseract and others write: a record for each page, with its words, their boxes and
 * the page's size. Reference: http://kba.github.io/hocr-spec/1.2
 */
export async function readHocr(file: string, options: TableOptions): Promise<RecordSource> {
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    let page = 0;
    for (const { box, image, words, boxes } of pagesOf(await readText(file, options))) {
      const at = `${file} page ${++page}`;
      const [x0 = 0, y0 = 0, x1, y1] = box;
      if (x1 === undefined || y1 === undefined) yield { at, says: "the page has no bbox" };
      else {
        const own = boxes.map((sides) => sides.map((side, i) => side - (i % 2 === 0 ? x0 : y0)));
        yield { at, values: { words, boxes: own, width: x1 - x0, height: y1 - y0, image } };
      }
    }
  }
  const malformed = {
    what: (n: number): string => `${count(n, "malformed page")} in ${file}`,
    why: "a page of hOCR is an element of class ocr_page, whose title says its bbox.",
    fix: "write the file again: tesseract page.png page hocr.",
  };
  const columns = ["words", "boxes", "width", "height", "image"];
  return { from: file, isReplayable: true, columns, malformed, records };
}

interface HocrPage {
  readonly box: readonly number[];
  readonly image: string | undefined;
  readonly words: string[];
  readonly boxes: number[][];
}

/** A word whose element has not ended yet: `depth` counts elements of its name within it. */
interface OpenWord {
  readonly name: string;
  readonly box: number[];
  text: string;
  depth: number;
}

/** Tags one after another; the text within a word counts until its element ends. */
function pagesOf(html: string): HocrPage[] {
  const pages: HocrPage[] = [];
  let word: OpenWord | undefined;
  let from = 0;
  for (const tag of html.matchAll(/<(\/?)([A-Za-z][A-Za-z0-9]*)([^<>]*)>/g)) {
    const [whole, slash, name = "", attributes = ""] = tag;
    const isOpening = slash === "" && !attributes.endsWith("/");
    if (word !== undefined) {
      word.text += html.slice(from, tag.index);
      if (word.name === name) word.depth += isOpening ? 1 : slash === "/" ? -1 : 0;
      if (word.depth === 0) {
        endWord(word, pages.at(-1));
        word = undefined;
      }
    } else if (isOpening) {
      const [kind, title] = [attribute(attributes, "class"), plainText(attribute(attributes, "title"))];
      if (/\bocr_page\b/.test(kind)) pages.push(pageOf(title));
      else if (/\bocrx?_word\b/.test(kind)) word = { text: "", box: boxIn(title), name, depth: 1 };
    }
    from = tag.index + whole.length;
  }
  return pages;
}

function pageOf(title: string): HocrPage {
  const image = /\bimage\s+["']([^"']*)["']/.exec(title)?.[1];
  return { box: boxIn(title), image, words: [], boxes: [] };
}

function endWord({ text, box }: OpenWord, page: HocrPage | undefined): void {
  const word = plainText(text);
  if (word === "") return;
  page?.words.push(word);
  page?.boxes.push(box);
}

/** `bbox 100 200 340 260` of a title. */
function boxIn(title: string): number[] {
  const found = /\bbbox\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)/.exec(title);
  return found === null ? [] : found.slice(1, 5).map(Number);
}

function attribute(attributes: string, name: string): string {
  const found = new RegExp(`\\b${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`).exec(attributes);
  return found?.[1] ?? found?.[2] ?? "";
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
};

/** Text without the white space around it, entities as what they stand for. */
function plainText(text: string): string {
  const decoded = text.replace(/&(#x?[0-9A-Fa-f]{1,6}|[A-Za-z]{1,8});/g, (whole, name: string) => {
    if (!name.startsWith("#")) return ENTITIES[name] ?? whole;
    const code = name[1] === "x" ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
  return decoded.trim();
}
