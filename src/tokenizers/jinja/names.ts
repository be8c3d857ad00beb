import { isRecord } from "../../narrow.js";
import type { Body } from "./ast.js";
import { hasFilter, UNBUILT_FILTERS } from "./collections.js";
import { TemplateFault } from "./fault.js";
import { hasTest } from "./tests.js";

/**
 * Throws where a template names a filter or a test that there is none of, as jinja2 does when it compiles.
 * What stands right in an `if` may be there for other versions of jinja2: that fails when it is reached.
 * Reference: CodeGenerator._filter_test_common
 */
export function checkNames(body: Body): void {
  checkAll(body, { isSoft: false, line: undefined });
}

interface Place {
  /** Whether names are left to be found when they are reached. */
  readonly isSoft: boolean;
  readonly line: number | undefined;
}

type Node = Readonly<Record<string, unknown>>;

/**
 * Parts of a statement that jinja2 compiles as what stands around it; all others begin anew. Of other nodes,
 * all parts are.
 */
const sameAsAround: Readonly<Record<string, readonly string[]>> = {
  for: ["over"],
  with: ["bindings"],
  "call-block": ["call"],
  ...Object.fromEntries(
    ["set-block", "macro", "filter-block", "block", "scope", "generation"].map((kind) => [kind, []]),
  ),
};

function checkAll(part: unknown, place: Place): void {
  if (Array.isArray(part)) for (const item of part) checkAll(item, place);
  else if (typeof part === "object" && part !== null) checkNode(part as Node, place);
}

function checkNode(node: Node, place: Place): void {
  const { kind, name } = node;
  const line = typeof node["line"] === "number" ? node["line"] : place.line;
  const isSoft = place.isSoft || kind === "if" || kind === "choice";
  if (typeof name === "string" && !isSoft && kind === "filter" && !hasFilter(name))
    throw new TemplateFault("syntax", noFilter(name), line);
  if (typeof name === "string" && !isSoft && kind === "test" && !hasTest(name))
    throw new TemplateFault("syntax", `No test named '${name}'.`, line);
  const around =
    typeof kind === "string" && Object.hasOwn(sameAsAround, kind) ? sameAsAround[kind] : undefined;
  for (const [key, part] of Object.entries(node).filter(([key]) => !(key === "right" && isDecided(node))))
    checkAll(part, { line, isSoft: isSoft && (around === undefined || around.includes(key)) });
}

/** Whether what stands left of `and` or `or` is a constant that decides: jinja2 compiles no more of it. */
function isDecided({ kind, left }: Node): boolean {
  if ((kind !== "and" && kind !== "or") || !isRecord(left) || left["kind"] !== "constant") return false;
  const { value } = left;
  const isTrueHere = value !== null && value !== false && value !== "" && value !== 0 && value !== 0n;
  return isTrueHere === (kind === "or");
}

function noFilter(name: string): string {
  return UNBUILT_FILTERS.includes(name)
    ? `the filter '${name}' is one of jinja2's that peft.js does not have`
    : `No filter named '${name}'`;
}
