import type { Value } from "./values/values.js";

/** What a template is parsed into. Names follow Jinja's documentation. */

export type Expression =
  | { readonly kind: "constant"; readonly value: Value }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly kind: "dict"; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: "attribute"; readonly of: Expression; readonly name: string }
  | { readonly kind: "item"; readonly of: Expression; readonly key: Expression }
  | { readonly kind: "slice"; readonly of: Expression; readonly bounds: readonly (Expression | undefined)[] }
  | { readonly kind: "call"; readonly of: Expression; readonly args: CallArguments }
  | FilterExpression
  | { readonly kind: "test"; readonly of: Expression; readonly name: string; readonly args: CallArguments }
  | { readonly kind: "not" | "negative" | "positive"; readonly of: Expression }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: "concat"; readonly parts: readonly Expression[] }
  | {
      readonly kind: "compare";
      readonly first: Expression;
      readonly rest: readonly { readonly operator: string; readonly value: Expression }[];
    }
  | {
      readonly kind: "choice";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | undefined;
    };

export type FilterExpression = {
  readonly kind: "filter";
  /** Undefined where it stands at the head of a block, whose text it gets. */
  readonly of: Expression | undefined;
  readonly name: string;
  readonly args: CallArguments;
};

export type CallArguments = {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*list` and `**dict`. */
  readonly list?: Expression;
  readonly dict?: Expression;
};

/** What can be assigned to: a name, names in a tuple, an attribute of a namespace. */
export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "tuple"; readonly items: readonly Target[] }
  | { readonly kind: "namespace"; readonly name: string; readonly attribute: string };

export type Parameter = { readonly name: string; readonly otherwise: Expression | undefined };
export type Body = readonly Statement[];

export type Statement = { readonly line: number } & (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "print"; readonly values: readonly Expression[] }
  | {
      readonly kind: "if";
      readonly branches: readonly { readonly test: Expression; readonly body: Body }[];
      readonly otherwise: Body;
    }
  | ForStatement
  | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: "set-block";
      readonly target: Target;
      readonly filter: FilterExpression | undefined;
      readonly body: Body;
    }
  | ({ readonly kind: "macro"; readonly name: string } & MacroDefinition)
  | ({ readonly kind: "call-block"; readonly call: Expression } & MacroDefinition)
  | { readonly kind: "filter-block"; readonly filter: FilterExpression; readonly body: Body }
  | {
      readonly kind: "with";
      readonly bindings: readonly { readonly target: Target; readonly value: Expression }[];
      readonly body: Body;
    }
  | { readonly kind: "block" | "scope" | "generation"; readonly body: Body }
  | { readonly kind: "break" | "continue" }
  | { readonly kind: "other-template"; readonly tag: string }
);

export type ForStatement = {
  readonly kind: "for";
  readonly target: Target;
  readonly over: Expression;
  readonly test: Expression | undefined;
  readonly recursive: boolean;
  readonly body: Body;
  readonly otherwise: Body;
};

export type MacroDefinition = {
  readonly parameters: readonly Parameter[];
  readonly body: Body;
  /** Which of varargs, kwargs and caller the body names: it takes these alone. */
  readonly uses: readonly string[];
};
