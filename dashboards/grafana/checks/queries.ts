// Whether the queries can be right: they parse, and ask for metrics, labels and values that there are.

import type { DialectName } from "../src/dialect.js";
import { Catalogue } from "./catalogue.js";
import { expand } from "./expand.js";
import { PromQL, type Matcher, type Selector, syntaxError } from "./grammar.js";
import { type Dashboard, type Finding, panelsOf, place, type Target, variablesOf } from "./model.js";

/** What Braid's Loki sink writes for every log of a service, and what Loki adds (exporters/encode/loki.cc). */
const LOG_LABELS = ["service_name", "trace_id", "span_id", "severity", "severity_number", "detected_level"];

/** Functions of what grows, and of what has a range and may go both ways. */
const GROWTH = ["rate", "irate", "increase"];

export function queries(dialect: DialectName, dashboard: Dashboard, catalogue = new Catalogue(dialect)): Finding[] {
  const found: Finding[] = [];
  for (const panel of panelsOf(dashboard)) {
    for (const target of panel.targets ?? []) {
      const where = place(dashboard, panel, target);
      for (const message of problems(target, dashboard, catalogue)) found.push({ rule: "queries", where, message });
    }
  }
  for (const variable of variablesOf(dashboard)) {
    if (variable.type !== "query") continue;
    const match = /^label_values\((.+), (\w+)\)$/.exec(String(variable.query));
    const wrong = match ? inPromQL(match[1]!, dashboard, catalogue, [match[2]!]) : ["is not label_values(metric, label)"];
    for (const message of wrong) found.push({ rule: "queries", where: `${place(dashboard)}: variable ${variable.name}`, message });
  }
  return found;
}

function problems(target: Target, dashboard: Dashboard, catalogue: Catalogue): string[] {
  switch (target.datasource?.type) {
    case "prometheus":
      return [...inPromQL(target.expr ?? "", dashboard, catalogue, []), ...kindOf(target)];
    case "loki":
      return inLogQL(target.expr ?? "", dashboard);
    case "tempo": {
      const wrong = syntaxError("traceql", expand(target.query ?? "", dashboard));
      return wrong ? [wrong] : [];
    }
    default:
      return [`is a query for ${target.datasource?.type}`];
  }
}

/** Either for one moment or for a time. */
function kindOf(target: Target): string[] {
  const wrong: string[] = [];
  if (Boolean(target.instant) === Boolean(target.range)) wrong.push("is neither instant nor range, or both");
  if (target.format === "table" && !target.instant) wrong.push("fills a table and is not instant");
  if (target.format === "heatmap" && !/\bby \([^)]*\ble\b/.test(target.expr ?? "")) wrong.push("fills a heatmap and does not keep le");
  if (target.exemplar && /\bservice:/.test(target.expr ?? "")) wrong.push("asks for exemplars of recorded series, which have none");
  return wrong;
}

function inPromQL(query: string, dashboard: Dashboard, catalogue: Catalogue, alsoGrouped: string[]): string[] {
  const expanded = expand(query, dashboard);
  const wrong = syntaxError("promql", expanded);
  if (wrong) return [wrong];
  const problems: string[] = [];
  for (const [, range] of query.matchAll(/\[([^\]]*)\]/g)) {
    if (!range!.startsWith("$__")) problems.push(`has the fixed range ${range}`);
  }
  const parsed = new PromQL(expanded);
  const labels = new Set(["le", ...parsed.madeLabels()]);
  for (const selector of parsed.selectors()) {
    const metric = catalogue.find(selector.metric);
    if (!metric) {
      problems.push(`asks for ${selector.metric}, which there is not`);
      continue;
    }
    Object.keys(metric.labels).forEach((label) => labels.add(label));
    problems.push(...growth(selector, metric.grows));
    for (const matcher of selector.matchers) problems.push(...matched(selector.metric, matcher, metric.labels));
  }
  for (const label of [...parsed.groupingLabels(), ...alsoGrouped]) {
    if (!labels.has(label)) problems.push(`groups by ${label}, which none of its metrics has`);
  }
  for (const argument of parsed.quantileArguments()) {
    if (!/\bby \(\s*le\b/.test(argument)) problems.push("takes a quantile of what is not aggregated by le");
  }
  return problems;
}

function growth(selector: Selector, grows: boolean): string[] {
  if (GROWTH.includes(selector.function ?? "") && !grows) return [`takes the ${selector.function} of ${selector.metric}, which is a gauge`];
  return [];
}

function matched(metric: string, matcher: Matcher, labels: Record<string, string[] | null>): string[] {
  const values = labels[matcher.label];
  if (values === undefined) return [`${metric} has no label ${matcher.label}`];
  if (values === null) return [];
  const regular = matcher.operator.includes("~");
  const wanted = regular ? alternatives(matcher.value) : [matcher.value];
  return wanted
    .filter((value) => !values.some((known) => (regular ? new RegExp(`^(?:${value})$`).test(known) : known === value)))
    .map((value) => `${metric}: ${matcher.label} is never ${value}`);
}

/** `a|b` and `x_(a|b)`, which is all that is written here. */
function alternatives(pattern: string): string[] {
  const inner = /^([^()|]*)\(([^()]*)\)([^()|]*)$/.exec(pattern);
  if (inner) return inner[2]!.split("|").map((one) => `${inner[1]}${one}${inner[3]}`);
  return pattern.split("|");
}

function inLogQL(query: string, dashboard: Dashboard): string[] {
  const wrong = syntaxError("logql", expand(query, dashboard));
  if (wrong) return [wrong];
  const labels = [...query.matchAll(/\b(\w+)\s*(?:=~|!~|!=|>=|<=|=|>|<)\s*["\d]/g)].map((match) => match[1]!);
  return labels.filter((label) => !LOG_LABELS.includes(label)).map((label) => `asks for the label ${label}, which logs need not have`);
}
