// Which services are busy, failing or slow, and where to look next.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { build } from "../build.js";
import type { Dialect } from "../dialect.js";
import { field, seriesLabel, toService, toTraces, UIDS } from "../links.js";
import { BAD, CALM, graph, type Panel, single, WARN } from "../panels.js";
import { orZero } from "../promql.js";
import { Red, SERVED } from "../red.js";
import { type Column, rows } from "../tables.js";
import { choice, dataSource, instances } from "../variables.js";

const CARRY = ["prometheus_datasource", "tempo_datasource", "job", "instance"];
const TOP = 10;

/** From which share of failed requests on a service is worth a look, and from which on it is in trouble. */
export const ERROR_STEPS: [number | null, string][] = [[null, CALM], [0.01, WARN], [0.05, BAD]];

/** Rate, errors and duration over the time shown, as columns. */
export function overRange(dialect: Dialect, each: Red): Column[] {
  return [
    { header: "Requests", expr: each.count(), unit: "locale", decimals: 0 },
    { header: "Rate", expr: each.meanRate(), unit: "reqps", decimals: 2 },
    {
      header: "Errors",
      expr: each.errorRatioOverRange(),
      unit: "percentunit",
      decimals: 2,
      thresholds: ERROR_STEPS,
    },
    { header: "p50", expr: each.quantileOverRange(0.5), unit: dialect.latencyUnit },
    { header: "p95", expr: each.quantileOverRange(0.95), unit: dialect.latencyUnit },
    { header: "p99", expr: each.quantileOverRange(0.99), unit: dialect.latencyUnit },
  ];
}

export function services(dialect: Dialect): dashboard.Dashboard {
  const served = [`${dialect.service}=~"$services"`, SERVED];
  const all = new Red(dialect, served, []);
  const each = new Red(dialect, served, [dialect.service]);
  const legend = `{{${dialect.service}}}`;
  const detail = [toService("Service detail", seriesLabel(dialect.service), CARRY)];

  // Exemplars are of the slowest and failing requests: beside a median they would all be at the edge.
  const latency = (q: number, exemplars = true): Panel =>
    graph({
      title: `p${q * 100} of duration`,
      description: `${q * 100} % of a service's requests took no longer.${exemplars ? " Points are exemplars: each leads to a trace." : ""}`,
      unit: dialect.latencyUnit,
      width: 8,
      queries: [{ expr: each.quantile(q), legend, exemplar: exemplars }],
      links: detail,
    });

  return build({
    uid: UIDS.services,
    title: "Braid / Services",
    description: "Rate, errors and duration of the requests that each service serves, counted from its spans.",
    from: "now-30m",
    refresh: "30s",
    variables: [
      dataSource("prometheus"),
      dataSource("tempo"),
      ...instances(dialect.calls),
      choice({
        name: "services",
        label: "Services",
        query: `label_values(${dialect.calls}{job=~"$job", instance=~"$instance"}, ${dialect.service})`,
        all: ".*",
      }),
    ],
    sections: [
      {
        panels: [
          single({
            title: "Services",
            description: "How many services have served anything.",
            unit: "none",
            width: 4,
            expr: `count(${each.rate()} > 0)`,
          }),
          single({
            title: "Requests",
            description: "Requests a second that the chosen services serve, those between them included.",
            unit: "reqps",
            width: 5,
            expr: all.rate(),
          }),
          single({
            title: "Errors",
            description: "Share of these requests that failed.",
            unit: "percentunit",
            decimals: 2,
            width: 5,
            expr: all.errorRatio(),
            thresholds: ERROR_STEPS,
          }),
          single({
            title: "Median of all",
            description: "Half of these requests took no longer.",
            unit: dialect.latencyUnit,
            width: 5,
            expr: all.quantile(0.5),
          }),
          single({
            title: "p95 of all",
            description: "95 % of these requests took no longer.",
            unit: dialect.latencyUnit,
            width: 5,
            expr: all.quantile(0.95),
          }),
          graph({
            title: "Requests by service",
            description: "Requests a second. Click a service for its detail.",
            unit: "reqps",
            width: 12,
            queries: [{ expr: each.rate(), legend }],
            links: detail,
          }),
          graph({
            title: "Error ratio by service",
            description: "Share of requests that failed; 0 where none did, and nothing where there were none.",
            unit: "percentunit",
            width: 12,
            queries: [{ expr: each.errorRatio(), legend }],
            thresholds: ERROR_STEPS,
            links: detail,
          }),
          latency(0.5, false),
          latency(0.95),
          latency(0.99),
        ],
      },
      {
        title: "Over the time shown",
        panels: [
          rows({
            title: "Services over the time shown",
            description:
              "Averages and quantiles over all of the time shown, parts of it without traffic included. A row leads to the service.",
            width: 24,
            height: 8,
            keys: [
              {
                label: dialect.service,
                header: "Service",
                links: [
                  toService("Service detail", field(dialect.service), CARRY),
                  toTraces("Its traces", `{ resource.service.name = "${field(dialect.service)}" }`),
                ],
              },
            ],
            columns: overRange(dialect, each),
            sortBy: "Errors",
          }),
          worst(dialect, served, "failing"),
          worst(dialect, served, "slow"),
        ],
      },
    ],
  });
}

/** The operations with most failures, or with the longest p95. */
function worst(dialect: Dialect, served: string[], kind: "failing" | "slow"): Panel {
  const operation = new Red(dialect, served, [dialect.service, "span_name"]);
  const failed = operation.failedCount();
  const p95 = operation.quantileOverRange(0.95);
  const ten = kind === "failing" ? `topk(${TOP}, ${failed} > 0)` : `topk(${TOP}, ${p95})`;
  // The other columns only of the rows that are shown.
  const of = (expr: string) => `${expr} and on (${dialect.service}, span_name) ${ten}`;
  const service = field(dialect.service);
  const traceql = [`resource.service.name = "${service}"`, `name = "${field("span_name")}"`];
  if (kind === "failing") traceql.push("status = error");
  return rows({
    title: kind === "failing" ? "Operations with most errors" : "Slowest operations",
    description:
      (kind === "failing"
        ? `The ${TOP} operations that failed most often in the time shown.`
        : `The ${TOP} operations with the longest p95 in the time shown.`) +
      " A row leads to the operation, and to its traces.",
    width: 12,
    height: 10,
    empty: kind === "failing" ? "No operation failed" : "No requests",
    keys: [
      { label: dialect.service, header: "Service", links: [toService("Service detail", service, CARRY)] },
      {
        label: "span_name",
        header: "Operation",
        absent: "(beyond metrics.max_series)",
        links: [
          toService("Service detail, this operation", service, CARRY, field("span_name")),
          toTraces("Its traces", `{ ${traceql.join(" && ")} }`),
        ],
      },
    ],
    columns: [
      { header: "Requests", expr: of(operation.count()), unit: "locale", decimals: 0 },
      { header: "Failed", expr: of(orZero(failed, operation.count())), unit: "locale", decimals: 0 },
      {
        header: "Errors",
        expr: of(operation.errorRatioOverRange()),
        unit: "percentunit",
        decimals: 2,
        thresholds: ERROR_STEPS,
      },
      { header: "p95", expr: of(p95), unit: dialect.latencyUnit },
    ],
    sortBy: kind === "failing" ? "Failed" : "p95",
  });
}
