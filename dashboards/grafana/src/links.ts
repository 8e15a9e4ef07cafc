// Ways from one view to the next: between the dashboards, from rows to Service detail, and to traces.

import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import type { Link } from "./panels.js";

/** On every dashboard: by it they find each other. */
export const TAG = "braid";

export const UIDS = {
  services: "braid-services",
  service: "braid-service",
  map: "braid-map",
  correlation: "braid-correlation",
  operations: "braid-operations",
  slo: "braid-slo",
} as const;

/** In the head of every dashboard: the others, with the time and the variables of this one. */
export function others(): dashboard.DashboardLinkBuilder {
  return new dashboard.DashboardLinkBuilder("Braid")
    .type(dashboard.DashboardLinkType.Dashboards)
    .icon("external link")
    .tooltip("The other dashboards of Braid, at the same time and with the same variables")
    .tags([TAG])
    .includeVars(true)
    .keepTime(true);
}

/** The label of the row that was clicked. */
export function field(label: string): string {
  return `\${__data.fields.${label}:percentencode}`;
}

/** The label of the series that was clicked. */
export function seriesLabel(label: string): string {
  return `\${__field.labels.${label}:percentencode}`;
}

/** To Service detail. `service` and `operation` are expressions as above. `carry`: the variables that go along. */
export function toService(title: string, service: string, carry: string[], operation?: string): Link {
  const parts = [`var-service=${service}`];
  if (operation !== undefined) parts.push(`var-operation=${operation}`);
  parts.push(...carry.map((name) => `\${${name}:queryparam}`), "${__url_time_range}");
  return { title, url: `/d/${UIDS.service}?${parts.join("&")}` };
}

/** To Explore, with a TraceQL search in the dashboard's Tempo, at the same time. In `query`, what ${} holds stays for
 *  Grafana to fill in. */
export function toTraces(title: string, query: string): Link {
  const source = { type: "tempo", uid: "${tempo_datasource}" };
  const pane = {
    datasource: "${tempo_datasource}",
    queries: [{ refId: "A", datasource: source, queryType: "traceql", query, limit: 20, tableType: "traces" }],
    range: { from: "${__from}", to: "${__to}" },
  };
  const panes = JSON.stringify({ braid: pane });
  const encoded = panes
    .split(/(\$\{[^}]*\})/)
    .map((part) => (part.startsWith("${") ? part : encodeURIComponent(part)))
    .join("");
  return { title, url: `/explore?schemaVersion=1&orgId=\${__org.id}&panes=${encoded}` };
}
