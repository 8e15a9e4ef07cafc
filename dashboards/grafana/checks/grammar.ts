// The three query languages, by the grammars that Grafana's own editors use.

import type { SyntaxNode, Tree } from "@lezer/common";
import { parser as promql } from "@prometheus-io/lezer-promql";
import { parser as logql } from "@grafana/lezer-logql";
import { parser as traceql } from "@grafana/lezer-traceql";

export type Language = "promql" | "logql" | "traceql";

const parsers = { promql, logql, traceql };

/** What is wrong with a query, or nothing. */
export function syntaxError(language: Language, query: string): string | undefined {
  if (query.trim() === "") return "is empty";
  let message: string | undefined;
  parsers[language].parse(query).iterate({
    enter(node) {
      if (!node.type.isError || message !== undefined) return;
      const before = query.slice(Math.max(0, node.from - 30), node.from);
      message = `does not parse at character ${node.from + 1}, behind "${before}"`;
    },
  });
  return message;
}

export interface Matcher {
  label: string;
  operator: string;
  value: string;
}

/** One `metric{matchers}` of a PromQL query. */
export interface Selector {
  metric: string;
  matchers: Matcher[];
  /** As written between [ and ], if it has a range. */
  range?: string;
  /** The function that the selector, or its range, is the argument of. */
  function?: string;
  /** Whether that is a subquery's. */
  subquery: boolean;
}

/** Of a query without syntax errors. */
export class PromQL {
  private readonly tree: Tree;

  constructor(private readonly query: string) {
    this.tree = promql.parse(query);
  }

  private text(node: SyntaxNode | null): string {
    return node ? this.query.slice(node.from, node.to) : "";
  }

  private all(name: string): SyntaxNode[] {
    const found: SyntaxNode[] = [];
    this.tree.iterate({
      enter(node) {
        if (node.name === name) found.push(node.node);
      },
    });
    return found;
  }

  selectors(): Selector[] {
    return this.all("VectorSelector").map((node) => {
      const matchers = (node.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? []).map((matcher) => ({
        label: this.text(matcher.getChild("LabelName")),
        operator: this.text(matcher.getChild("MatchOp")),
        value: unquote(this.text(matcher.getChild("StringLiteral"))),
      }));
      const named = this.text(node.getChild("Identifier"));
      const metric = named || (matchers.find((matcher) => matcher.label === "__name__")?.value ?? "");
      const holder = node.parent?.name === "MatrixSelector" ? node.parent : node;
      let argument: SyntaxNode = holder;
      // x[5m] @ end()
      while (argument.parent?.name === "StepInvariantExpr") argument = argument.parent;
      const body = argument.parent?.name === "FunctionCallBody" ? argument.parent : undefined;
      const call = body?.parent?.name === "FunctionCall" ? body.parent : undefined;
      return {
        metric,
        matchers,
        subquery: node.parent?.name === "SubqueryExpr",
        ...(holder !== node && { range: this.text(holder.getChild("DurationExpr")) }),
        ...(call && { function: this.text(call.getChild("FunctionIdentifier")) }),
      };
    });
  }

  /** The labels that aggregations and `on`, `ignoring`, group_left and group_right name. */
  groupingLabels(): string[] {
    return this.all("GroupingLabels").flatMap((node) => node.getChildren("LabelName").map((label) => this.text(label)));
  }

  /** The labels that label_replace and label_join make. */
  madeLabels(): string[] {
    return this.calls(/^label_(replace|join)$/).map((call) => {
      const strings = call.getChild("FunctionCallBody")?.getChildren("StringLiteral") ?? [];
      return unquote(this.text(strings[0] ?? null));
    });
  }

  /** For each histogram_quantile: the text of its second argument. */
  quantileArguments(): string[] {
    return this.calls(/^histogram_quantile$/).map((call) => {
      const body = this.text(call.getChild("FunctionCallBody"));
      return body.slice(body.indexOf(",") + 1);
    });
  }

  private calls(name: RegExp): SyntaxNode[] {
    return this.all("FunctionCall").filter((call) => name.test(this.text(call.getChild("FunctionIdentifier"))));
  }
}

function unquote(literal: string): string {
  return literal.slice(1, -1).replace(/\\(["\\])/g, "$1");
}
