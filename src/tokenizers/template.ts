import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { PeftError } from "../errors.js";

/** The one door to @huggingface/jinja. */

/** Private-use characters that stand where a `{% generation %}` block begins and ends. */
const open = "\uf8f0";
const close = "\uf8f1";

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

/** Compiles a chat template. Throws `tokenizer` where its syntax is wrong or not known. */
export function compileTemplate(source: string): ChatTemplate {
  const marked = source.replace(/\{%(-?)\s*(end)?generation\s*(-?)%\}/g, (_, left, end, right) => {
    // Sides keep their dashes, so white space around the mark goes exactly where jinja would take it.
    return `{%${left} if true -%}{{ "${end ? close : open}" }}{%- endif ${right}%}`;
  });
  let template: Template;
  try {
    template = new Template(marked);
  } catch (cause) {
    throw new PeftError("tokenizer", {
      what: `The chat template does not compile: ${(cause as Error).message}.`,
      why: "it is broken, or uses a part of Jinja that @huggingface/jinja does not know.",
      fix: "pass a template of your own with applyChatTemplate(messages, { chatTemplate: ... }).",
      cause,
    });
  }
  return {
    marksGeneration: marked !== source,
    render: (variables, now) => takeMarks(run(template, variables, now)),
  };
}

/** Compiles each template once, however many chats it renders. */
export function templateCache(): (source: string) => ChatTemplate {
  const compiled = new Map<string, ChatTemplate>();
  return (source) => {
    const template = compiled.get(source) ?? compileTemplate(source);
    compiled.set(source, template);
    return template;
  };
}

function run(template: Template, variables: { readonly [name: string]: unknown }, now: Date): string {
  const environment = new Environment();
  const globals = { ...constants, strftime_now: (format: string) => strftime(now, format) };
  for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
  try {
    const result = new Interpreter(environment).run(template.parsed) as unknown as { value: string };
    return result.value;
  } catch (cause) {
    throw new PeftError("tokenizer", {
      what: `The chat template refused these messages: ${(cause as Error).message}`,
      why: "the template that comes with the model decides which roles and which order it takes.",
      fix: "change the messages, or pass a template of your own as chatTemplate.",
      cause,
    });
  }
}

const constants: { readonly [name: string]: unknown } = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: string) => {
    throw new Error(message);
  },
  range: (first: number, second?: number, step = 1): number[] => {
    const [from, to] = second === undefined ? [0, first] : [first, second];
    return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
  },
};

function takeMarks(marked: string): Rendered {
  let text = "";
  const generated: [number, number][] = [];
  for (const part of marked.split(/([\uf8f0\uf8f1])/)) {
    if (part === open) generated.push([text.length, text.length]);
    else if (part === close) generated.at(-1)![1] = text.length;
    else text += part;
  }
  return { text, generated };
}

/** Python's strftime in the C locale. */
export function strftime(date: Date, format: string): string {
  const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
  const months =
    "January February March April May June July August September October November December".split(" ");
  const two = (value: number): string => String(value).padStart(2, "0");
  const hour = date.getHours();
  const parts: { [directive: string]: string } = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    B: months[date.getMonth()]!,
    b: months[date.getMonth()]!.slice(0, 3),
    d: two(date.getDate()),
    A: days[date.getDay()]!,
    a: days[date.getDay()]!.slice(0, 3),
    H: two(hour),
    I: two(hour % 12 || 12),
    p: hour < 12 ? "AM" : "PM",
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    "%": "%",
  };
  return format.replace(/%([%a-zA-Z])/g, (whole, directive: string) => parts[directive] ?? whole);
}
