import { PeftError } from "../errors.js";
import { toCode, words } from "../words.js";
import type { Body } from "./jinja/ast.js";
import { makeBudget } from "./jinja/budget.js";
import { TemplateFault } from "./jinja/fault.js";
import { fromJson } from "./jinja/from_json.js";
import { checkNames } from "./jinja/names.js";
import { parseTemplate } from "./jinja/parser.js";
import { render } from "./jinja/render.js";
import { strftime } from "./strftime.js";

/** A chat template, and the file and field that it was found in. */
export type TemplateSource = { readonly text: string; readonly where: string };

export type Rendered = {
  readonly text: string;
  /** Spans of the text written inside `{% generation %}` blocks, in UTF-16 units. */
  readonly generated: readonly (readonly [number, number])[];
};

/** A compiled chat template. */
export type ChatTemplate = {
  /** Whether the template marks what the assistant writes. */
  readonly marksGeneration: boolean;
  render(variables: { readonly [name: string]: unknown }, now: Date): Rendered;
};

/** Steps that any rendering may take, and more for each character and item of its variables. */
const STEPS = 1_000_000;
const STEPS_PER_ITEM = 8;

/** Compiles a chat template. Throws `tokenizer` where its syntax is wrong; rendering throws it too. */
export function compileTemplate({ text, where }: TemplateSource): ChatTemplate {
  let body: Body;
  try {
    body = parseTemplate(text);
    checkNames(body);
  } catch (cause) {
    throw broken(asFault(cause), where);
  }
  return {
    marksGeneration: /\{%-?\s*generation\s*-?%\}/.test(text),
    render: (variables, now) => {
      try {
        const { values, size } = fromJson(variables);
        const budget = makeBudget(STEPS + STEPS_PER_ITEM * size);
        return render(body, { variables: values, budget, strftime: (format) => strftime(now, format) });
      } catch (cause) {
        throw refused(asFault(cause), where);
      }
    },
  };
}

/** Compiles each template once, however many chats it renders. */
export function templateCache(): (source: TemplateSource) => ChatTemplate {
  const compiled = new Map<string, ChatTemplate>();
  return (source) => {
    const template = compiled.get(source.text) ?? compileTemplate(source);
    compiled.set(source.text, template);
    return template;
  };
}

/** Nesting that is deeper than the stack is a fault of the template, or of its variables, too. */
function asFault(error: unknown): TemplateFault {
  if (error instanceof TemplateFault) return error;
  if (error instanceof RangeError) return new TemplateFault("budget", "it nests too deeply, or is too large");
  throw error;
}

const atLine = (fault: TemplateFault): string => (fault.line === undefined ? "" : ` (line ${fault.line})`);

function broken(fault: TemplateFault, where: string): PeftError {
  return new PeftError("tokenizer", {
    what: `${where} does not compile: ${fault.message}${atLine(fault)}.`,
    why: "its Jinja is broken.",
    fix: words`correct the template${toCode(", or pass one of your own: applyChatTemplate(messages, { chatTemplate: ... })")}.`,
    cause: fault,
  });
}

const otherTemplate = toCode(
  ", or pass a template of your own as chatTemplate",
  ", or put another chat_template.jinja beside the adapter or the model",
);

function refused(fault: TemplateFault, where: string): PeftError {
  if (fault.kind === "raised") {
    return new PeftError("tokenizer", {
      what: `${where} refused these messages: ${fault.message.replace(/([^.!?])$/, "$1.")}`,
      why: "the template that comes with the model decides which roles and which order it takes.",
      fix: words`change the messages${otherTemplate}.`,
      cause: fault,
    });
  }
  const ends = fault.kind === "budget";
  return new PeftError("tokenizer", {
    what: `${where} ${ends ? "does not come to an end" : "fails on these messages"}${atLine(fault)}: ${fault.message}.`,
    why: ends
      ? "a template has a budget of steps, text and nesting, that real ones use a small part of."
      : "the template asks for something that these messages, tools or variables do not have.",
    fix: words`change the messages${otherTemplate}.`,
    cause: fault,
  });
}
