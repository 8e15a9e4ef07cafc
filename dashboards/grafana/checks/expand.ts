// Fills sample values in for variables, so that a query can be parsed. (tests/support/grafana_variables.py does it as
// Grafana does, for queries that are run.)

import { type Dashboard, variablesOf } from "./model.js";

const REFERENCE = /\$(\w+)|\$\{(\w+)(?:\.[^:}]+)?(?::[^}]+)?\}|\[\[(\w+)(?::\w+)?\]\]/g;

/** Those of Grafana that dashboards here may use, with a value that parses in their place. */
export const BUILT_IN: Record<string, string> = {
  __rate_interval: "61s",
  __interval: "17s",
  __interval_ms: "17000",
  __range: "1801s",
  __range_s: "1801",
  __range_ms: "1801000",
  __auto: "19s",
  __from: "1700000000000",
  __to: "1700001801000",
};

/** These are only there where a link is followed. */
export const IN_LINKS = ["__data", "__field", "__value", "__series", "__url_time_range", "__all_variables", "__org"];

/** Names of variables in `text`. What else looks like one: `$1` of label_replace, and the value of All. */
export function references(text: string): string[] {
  const names = [...text.matchAll(REFERENCE)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
  return names.filter((name) => !/^\d+$/.test(name) && name !== "__all");
}

export function expand(query: string, dashboard: Dashboard): string {
  const variables = new Map(variablesOf(dashboard).map((variable) => [variable.name, variable]));
  return query.replace(REFERENCE, (whole, plain, braced, bracketed) => {
    const name: string = plain ?? braced ?? bracketed;
    const builtIn = BUILT_IN[name];
    if (builtIn !== undefined) return builtIn;
    const variable = variables.get(name);
    if (!variable) return whole;
    const first = variable.type === "custom" ? variable.options?.[0]?.value : variable.allValue;
    return (Array.isArray(first) ? first[0] : first) ?? "some";
  });
}
