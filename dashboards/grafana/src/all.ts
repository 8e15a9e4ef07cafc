// Everything that is generated, as the text of its file: every dashboard, and the data sources, in every dialect.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { correlation } from "./dashboards/correlation.js";
import { map } from "./dashboards/map.js";
import { operations } from "./dashboards/operations.js";
import { service } from "./dashboards/service.js";
import { services } from "./dashboards/services.js";
import { slo } from "./dashboards/slo.js";
import { type Dialect, dialects } from "./dialect.js";
import { sources, sourcesPath } from "./provisioning.js";

const dashboards: ((dialect: Dialect) => dashboard.Dashboard)[] = [
  services,
  service,
  map,
  correlation,
  operations,
  slo,
];

/** Those of a dialect, in the order in which docs/dashboards.md has them. */
export function made(dialect: Dialect): dashboard.Dashboard[] {
  return dashboards.map((make) => make(dialect));
}

/** Path under dashboards/grafana to content. */
export function generateAll(): Map<string, string> {
  const files = new Map<string, string>();
  for (const dialect of dialects) {
    files.set(sourcesPath(dialect), sources(dialect));
    for (const one of made(dialect)) files.set(`${dialect.name}/${one.uid}.json`, JSON.stringify(one, null, 2) + "\n");
  }
  return files;
}
