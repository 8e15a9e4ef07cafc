// The rules of Grafana's dashboard-linter, under its names, after our own reading of them. Where theirs look away (panel
// types that they do not know, selectors with matchers), these do as their description says.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../src/generate.js";
import { UNITS } from "../src/panels.js";
import { BUILT_IN, expand } from "./expand.js";
import { PromQL, type Selector, syntaxError } from "./grammar.js";
import {
  type Dashboard, type Finding, type Panel, panelsOf, place, type Target, type Variable, variablesOf,
} from "./model.js";

type Say = (where: string, message: string) => void;
type Rule = (dashboard: Dashboard, say: Say) => void;

const PLAIN = ["stat", "singlestat", "graph", "table", "timeseries", "gauge"];
const GRAPHS = ["singlestat", "graph", "table", "timeseries"];
const WITH_QUERIES = ["stat", "singlestat", "gauge", "table", "state-timeline", "timeseries"];
const RATES = ["rate", "irate"];
const GROWTH = [...RATES, "increase"];

export const rules: Record<string, Rule> = {
  "template-datasource-rule"(dashboard, say) {
    const sources = variablesOf(dashboard).filter((variable) => variable.type === "datasource");
    if (sources.length === 0) say(place(dashboard), "has no variable for its data source");
    for (const source of sources) {
      const type = queryOf(source);
      const names = [`${type}_datasource`];
      const labels = [`${capital(type)} data source`];
      if (sources.length === 1) {
        names.push("datasource");
        labels.push("Data source");
      }
      if (!names.includes(source.name)) say(place(dashboard), `data source variable ${source.name} is not named ${names.join(" or ")}`);
      if (!labels.includes(source.label ?? "")) say(place(dashboard), `data source variable ${source.name} is not labelled ${labels.join(" or ")}`);
    }
  },

  "template-job-rule": (dashboard, say) => targetVariable(dashboard, "job", say),
  "template-instance-rule": (dashboard, say) => targetVariable(dashboard, "instance", say),

  "template-label-promql-rule"(dashboard, say) {
    if (!forPrometheus(dashboard)) return;
    for (const variable of queried(dashboard)) {
      const where = `${place(dashboard)}: variable ${variable.name}`;
      const match = /^([a-z_]+)\((.+)\)$/.exec(queryOf(variable));
      if (!match) {
        say(where, "is no call of a function of the Prometheus data source");
        continue;
      }
      const [, name = "", argument = ""] = match;
      if (!["label_names", "label_values", "metrics", "query_result"].includes(name)) {
        say(where, `calls ${name}, which the Prometheus data source does not have`);
        continue;
      }
      const expr = name === "label_values" ? argument.slice(0, argument.lastIndexOf(",")) : argument;
      const wrong = expr === "" ? undefined : syntaxError("promql", expand(expr, dashboard));
      if (wrong) say(where, wrong);
    }
  },

  "template-on-time-change-reload-rule"(dashboard, say) {
    for (const variable of queried(dashboard)) {
      if (variable.refresh !== 2) say(`${place(dashboard)}: variable ${variable.name}`, "is not refreshed when the time changes");
    }
  },

  "panel-datasource-rule"(dashboard, say) {
    const known = variablesOf(dashboard)
      .filter((variable) => variable.type === "datasource")
      .flatMap((variable) => [`$${variable.name}`, `\${${variable.name}}`]);
    for (const panel of panelsOf(dashboard).filter((panel) => GRAPHS.includes(panel.type))) {
      if (!known.includes(panel.datasource?.uid ?? "")) say(place(dashboard, panel), "has no data source that is a variable");
    }
  },

  "panel-title-description-rule"(dashboard, say) {
    for (const panel of panelsOf(dashboard).filter((panel) => PLAIN.includes(panel.type))) {
      if (!panel.title) say(place(dashboard, panel), "has no title");
      if (!panel.description) say(place(dashboard, panel), "has no description");
    }
  },

  "panel-units-rule"(dashboard, say) {
    for (const panel of panelsOf(dashboard).filter((panel) => PLAIN.includes(panel.type))) {
      const units = (panel.fieldConfig?.overrides ?? [])
        .flatMap((override) => override.properties)
        .filter((property) => property.id === "unit")
        .map((property) => property.value);
      units.push(panel.fieldConfig?.defaults?.unit);
      for (const unit of units) {
        if (!(UNITS as readonly unknown[]).includes(unit)) say(place(dashboard, panel), `has the unit ${JSON.stringify(unit)}`);
      }
    }
  },

  "panel-no-targets-rule"(dashboard, say) {
    for (const panel of panelsOf(dashboard).filter((panel) => PLAIN.includes(panel.type))) {
      if (!panel.targets || panel.targets.length === 0) say(place(dashboard, panel), "has no query");
    }
  },

  "target-logql-rule": (dashboard, say) =>
    eachTarget(dashboard, (panel, target) => {
      if (target.hide || target.datasource?.type !== "loki") return;
      const wrong = syntaxError("logql", expand(target.expr ?? "", dashboard));
      if (wrong) say(place(dashboard, panel, target), `LogQL: ${wrong}`);
    }),

  "target-logql-auto-rule": (dashboard, say) =>
    eachTarget(dashboard, (panel, target) => {
      if (target.hide || target.datasource?.type !== "loki") return;
      for (const [, range] of (target.expr ?? "").matchAll(/\[([^\]]*)\]/g)) {
        if (range !== "$__auto") say(place(dashboard, panel, target), `LogQL: the range is ${range}, not $__auto`);
      }
    }),

  // Theirs takes every query for PromQL. So does this: a panel of a type that should have PromQL and has not is found.
  "target-promql-rule"(dashboard, say) {
    if (!forPrometheus(dashboard)) return;
    eachTarget(dashboard, (panel, target) => {
      if (target.datasource?.type !== "prometheus" && !WITH_QUERIES.includes(panel.type)) return;
      if (target.panelId && panelsOf(dashboard).some((other) => other.id === target.panelId)) return;
      const wrong = syntaxError("promql", expand(target.expr ?? "", dashboard));
      if (wrong) say(place(dashboard, panel, target), `PromQL: ${wrong}`);
    });
  },

  "target-rate-interval-rule": (dashboard, say) =>
    eachSelector(dashboard, (panel, target, selector) => {
      if (!WITH_QUERIES.includes(panel.type) || !RATES.includes(selector.function ?? "")) return;
      // Each built-in duration is expanded to one of its own, and queries.ts finds those that are written out.
      if (selector.range !== BUILT_IN.__rate_interval) {
        say(place(dashboard, panel, target), `the rate of ${selector.metric} is not over $__rate_interval`);
      }
    }),

  "target-job-rule": (dashboard, say) => requiredMatcher(dashboard, "job", say),
  "target-instance-rule": (dashboard, say) => requiredMatcher(dashboard, "instance", say),

  "target-counter-agg-rule": (dashboard, say) =>
    eachSelector(dashboard, (panel, target, selector) => {
      if (!selector.metric.endsWith("_total")) return;
      if (selector.subquery || selector.range === undefined || !GROWTH.includes(selector.function ?? "")) {
        say(place(dashboard, panel, target), `the counter ${selector.metric} stands outside of rate, irate and increase`);
      }
    }),

  "uneditable-dashboard"(dashboard, say) {
    if (dashboard.editable !== false) say(place(dashboard), "is editable");
  },
};

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function queryOf(variable: Variable): string {
  return (typeof variable.query === "string" ? variable.query : variable.query?.query) ?? "";
}

function queried(dashboard: Dashboard): Variable[] {
  return variablesOf(dashboard).filter((variable) => variable.type === "query");
}

/** Most rules look at dashboards whose first data source is a Prometheus. */
function forPrometheus(dashboard: Dashboard): boolean {
  const first = variablesOf(dashboard).find((variable) => variable.type === "datasource");
  return first !== undefined && queryOf(first) === "prometheus";
}

function targetVariable(dashboard: Dashboard, name: string, say: Say): void {
  if (!forPrometheus(dashboard)) return;
  const variable = variablesOf(dashboard).find((candidate) => candidate.name === name);
  const where = `${place(dashboard)}: variable ${name}`;
  if (!variable) return say(where, "is missing");
  const sources = ["$datasource", "${datasource}", "$prometheus_datasource", "${prometheus_datasource}"];
  if (!sources.includes(variable.datasource?.uid ?? "")) say(where, "does not ask the dashboard's Prometheus");
  if (variable.type !== "query") say(where, "is no query");
  if (variable.label !== capital(name)) say(where, `is not labelled ${capital(name)}`);
  if (!variable.multi) say(where, "cannot have several values");
  if (variable.allValue !== ".+") say(where, "has another value than .+ for All");
}

function eachTarget(dashboard: Dashboard, visit: (panel: Panel, target: Target) => void): void {
  for (const panel of panelsOf(dashboard)) for (const target of panel.targets ?? []) visit(panel, target);
}

function eachSelector(dashboard: Dashboard, visit: (panel: Panel, target: Target, selector: Selector) => void): void {
  if (!forPrometheus(dashboard)) return;
  eachTarget(dashboard, (panel, target) => {
    if (target.datasource?.type !== "prometheus") return;
    const query = expand(target.expr ?? "", dashboard);
    if (syntaxError("promql", query)) return; // which is another rule's
    for (const selector of new PromQL(query).selectors()) visit(panel, target, selector);
  });
}

/** Variables are matched as they are written, which expanding would hide. */
function requiredMatcher(dashboard: Dashboard, label: string, say: Say): void {
  if (!forPrometheus(dashboard)) return;
  eachTarget(dashboard, (panel, target) => {
    if (target.datasource?.type !== "prometheus") return;
    const query = ranges(target.expr ?? "");
    if (syntaxError("promql", query)) return;
    for (const selector of new PromQL(query).selectors()) {
      const found = selector.matchers.some(
        (matcher) => matcher.label === label && matcher.operator === "=~" && matcher.value === `$${label}`,
      );
      if (!found) say(place(dashboard, panel, target), `${selector.metric} has no ${label}=~"$${label}"`);
    }
  });
}

/** With built-in durations filled in, and other variables, which are in strings, left. */
function ranges(query: string): string {
  return query.replace(/\$__(rate_interval|interval|range)\b(?!_)/g, "61s").replace(/\$__range_s\b/g, "61");
}

// --- exclusions ---

interface Entry {
  dashboard?: string;
  panel?: string;
  reason: string;
}

export type Exclusions = Record<string, { entries: Entry[] }>;

/** lint.json, which dashboard-linter takes as its configuration too. */
export function loadExclusions(): Exclusions {
  const file = JSON.parse(readFileSync(join(ROOT, "lint.json"), "utf8")) as { exclusions: Exclusions };
  return file.exclusions;
}

export function lint(dashboard: Dashboard): Finding[] {
  return Object.entries(rules).flatMap(([rule, apply]) => {
    const found: Finding[] = [];
    apply(dashboard, (where, message) => found.push({ rule, where, message }));
    return found;
  });
}

/** What is left without the exclusions, and each exclusion that nothing needs. */
export function exclude(findings: Finding[], exclusions: Exclusions): Finding[] {
  const needed = new Set<Entry>();
  const left = findings.filter((finding) => {
    const entry = exclusions[finding.rule]?.entries.find(
      (candidate) =>
        finding.where === (candidate.dashboard ?? "") ||
        finding.where.startsWith([candidate.dashboard, candidate.panel].filter(Boolean).join(": ") + ": "),
    );
    if (entry) needed.add(entry);
    return entry === undefined;
  });
  for (const [rule, { entries }] of Object.entries(exclusions)) {
    for (const entry of entries) {
      const where = [entry.dashboard, entry.panel].filter(Boolean).join(": ");
      if (!needed.has(entry)) left.push({ rule, where, message: "is excluded in lint.json, and need not be" });
      if (!entry.reason) left.push({ rule, where, message: "is excluded in lint.json without a reason" });
    }
  }
  return left;
}
