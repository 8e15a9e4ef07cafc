// How much of their error budgets services have left, and how fast they use it up. Everything comes from the rules that
// `braid rules export --slo` writes; they add up all of Braid's instances, so there is no job and no instance here.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { alertTable } from "../alerts.js";
import { build } from "../build.js";
import type { Dialect } from "../dialect.js";
import { seriesLabel, field, toService, UIDS } from "../links.js";
import { BAD, CALM, graph, type Panel, single, WARN } from "../panels.js";
import { rows } from "../tables.js";
import { choice, dataSource } from "../variables.js";

const OBJECTIVE = "service:slo_objective:ratio";
const BUDGET = "service:slo_error_budget:ratio";
const REMAINING = "service:slo_error_budget_remaining:ratio";
const ALERTS = "SLOFastBurn|SLOSlowBurn";

const CARRY = ["prometheus_datasource"];
const LEGEND = "{{service}}: {{slo}}";
const REMAINING_STEPS: [number | null, string][] = [[null, BAD], [0, WARN], [0.25, CALM]];

type Window = "5m" | "30m" | "1h" | "2h" | "6h" | "1d" | "3d" | "30d";

function chosen(metric: string): string {
  return `${metric}{service=~"$services", slo=~"$slo"}`;
}

function per(expr: string): string {
  return `max by (service, slo) (${expr})`;
}

const errors = (window: Window) => per(chosen(`service:slo_error_ratio:rate${window}`));

/** 1 uses up exactly the budget in 30 days. */
const burn = (window: Window) => `${errors(window)} / ${per(chosen(BUDGET))}`;

export function slo(_: Dialect): dashboard.Dashboard {
  const alerts = `ALERTS{alertname=~"${ALERTS}", service=~"$services", slo=~"$slo"}`;
  return build({
    uid: UIDS.slo,
    title: "Braid / SLO",
    description: "Error budgets of services over 30 days, and how fast they burn, from the rules of `braid rules export`.",
    from: "now-6h",
    refresh: "1m",
    variables: [
      dataSource("prometheus"),
      choice({ name: "services", label: "Services", query: `label_values(${OBJECTIVE}, service)`, all: ".+" }),
      choice({ name: "slo", label: "SLO", query: `label_values(${OBJECTIVE}{service=~"$services"}, slo)`, all: ".+" }),
    ],
    sections: [
      {
        panels: [
          single({
            title: "Least budget left",
            description: "Of all chosen SLOs, the one with least of its error budget left over 30 days. Below 0 it is overspent.",
            unit: "percentunit",
            decimals: 1,
            width: 8,
            expr: `min(${chosen(REMAINING)})`,
            thresholds: REMAINING_STEPS,
          }),
          single({
            title: "Fastest burn",
            description: "The highest burn rate over an hour. At 1 a budget lasts exactly 30 days, at 14.4 two days.",
            unit: "none",
            decimals: 2,
            width: 8,
            expr: `max(${burn("1h")})`,
            thresholds: [[null, CALM], [1, WARN], [14.4, BAD]],
          }),
          single({
            title: "Alerts firing",
            description: "Burn-rate alerts that fire for the chosen SLOs.",
            unit: "none",
            width: 8,
            // The rules' own series tells that they are evaluated: then no alert is 0, and without it nothing is known.
            expr: `count(${alerts.replace("}", ', alertstate="firing"}')}) or 0 * count(${chosen(OBJECTIVE)})`,
            thresholds: [[null, CALM], [1, BAD]],
          }),
          objectives(),
          firing(),
        ],
      },
      { title: "Burn rates", panels: burns() },
      { title: "Budgets and errors", panels: budgets() },
    ],
  });
}

function objectives(): Panel {
  const rate = (header: string, window: Window, bad: number) => ({
    header,
    expr: burn(window),
    unit: "none" as const,
    decimals: 2,
    thresholds: [[null, CALM], [1, WARN], [bad, BAD]] as [number | null, string][],
  });
  return rows({
    title: "Objectives",
    description: "Each SLO: its objective, what is left of its error budget, and its burn rates. At 1 the budget lasts exactly 30 days.",
    width: 24,
    height: 9,
    keys: [
      { label: "service", header: "Service", links: [toService("Service detail", field("service"), CARRY)] },
      { label: "slo", header: "SLO" },
    ],
    columns: [
      { header: "Objective", expr: per(chosen(OBJECTIVE)), unit: "percentunit", decimals: 3 },
      {
        header: "Budget left",
        expr: per(chosen(REMAINING)),
        unit: "percentunit",
        decimals: 1,
        thresholds: REMAINING_STEPS,
      },
      { header: "Errors, 30 days", expr: errors("30d"), unit: "percentunit", decimals: 3 },
      rate("Burn, 1 hour", "1h", 14.4),
      rate("Burn, 6 hours", "6h", 6),
      rate("Burn, 1 day", "1d", 3),
      rate("Burn, 3 days", "3d", 1),
    ],
    sortBy: "Burn, 1 hour",
  });
}

function firing(): Panel {
  return alertTable({
    title: "Alerts",
    description: "Burn-rate alerts of the chosen SLOs that fire or are about to, as Prometheus sees them.",
    height: 7,
    matchers: [`alertname=~"${ALERTS}"`, 'service=~"$services"', 'slo=~"$slo"'],
    about: [
      { label: "service", header: "Service", links: [toService("Service detail", field("service"), CARRY)] },
      { label: "slo", header: "SLO" },
    ],
  });
}

/** The rows of docs/slo.md: an alert fires where the burn rate is above `above` in both windows. */
const PAIRS: { long: Window; short: Window; above: number; alert: string; words: string }[] = [
  { long: "1h", short: "5m", above: 14.4, alert: "SLOFastBurn", words: "1 hour and 5 minutes" },
  { long: "6h", short: "30m", above: 6, alert: "SLOFastBurn", words: "6 hours and 30 minutes" },
  { long: "1d", short: "2h", above: 3, alert: "SLOSlowBurn", words: "1 day and 2 hours" },
  { long: "3d", short: "6h", above: 1, alert: "SLOSlowBurn", words: "3 days and 6 hours" },
];

function burns(): Panel[] {
  return PAIRS.map(({ long, short, above, alert, words }) =>
    graph({
      title: `Burn rate, ${words}`,
      description: `The lower of the burn rates over ${words}. ${alert} fires where it is above ${above}.`,
      unit: "none",
      width: 12,
      decimals: 2,
      queries: [{ expr: `(${burn(short)} <= ${burn(long)}) or ${burn(long)}`, legend: LEGEND }],
      thresholds: [[null, CALM], [above, BAD]],
      links: [toService("Service detail", seriesLabel("service"), CARRY)],
    }),
  );
}

function budgets(): Panel[] {
  const requests = per(chosen("service:slo_requests:rate5m"));
  return [
    graph({
      title: "Budget left",
      description: "Share of the 30 days' error budget that is left. Below 0 it is overspent.",
      unit: "percentunit",
      width: 8,
      min: -1,
      max: 1,
      queries: [{ expr: per(chosen(REMAINING)), legend: LEGEND }],
      thresholds: REMAINING_STEPS,
    }),
    graph({
      title: "Error ratio",
      description: "Share of requests that count against the SLO, over five minutes.",
      unit: "percentunit",
      width: 8,
      queries: [{ expr: errors("5m"), legend: LEGEND }],
    }),
    graph({
      title: "Requests",
      description: "Requests a second that the SLO looks at, and those of them that count against it.",
      unit: "reqps",
      width: 8,
      queries: [
        { expr: requests, legend: LEGEND },
        { expr: per(chosen("service:slo_errors:rate5m")), legend: `${LEGEND}, errors` },
      ],
    }),
  ];
}
