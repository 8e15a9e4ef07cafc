// Is Braid itself well: what it takes in, where it goes, and what it needs for that.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { alertTable } from "../alerts.js";
import { build } from "../build.js";
import type { Dialect } from "../dialect.js";
import { UIDS } from "../links.js";
import { BAD, CALM, graph, type Panel, single, WARN } from "../panels.js";
import { max, rate, select, sum } from "../promql.js";
import { dataSource, instances } from "../variables.js";
import { account, outcomes, sinks } from "./sinks.js";

const PRESSURE: Record<number, [string, string]> = {
  0: ["none", CALM],
  1: ["holds halved", WARN],
  2: ["deciding early", WARN],
  3: ["refusing", BAD],
};

/** Everything exports process_* metrics; these are of Braid's processes. */
function process(metric: string): string {
  return `${select(metric)} and on (job, instance) ${select("braid_build_info")}`;
}

export function operations(dialect: Dialect): dashboard.Dashboard {
  return build({
    uid: UIDS.operations,
    title: "Braid / Operations",
    description: "Braid's own state: ingress, the account of every sink, queues, memory and series.",
    from: "now-1h",
    refresh: "30s",
    variables: [dataSource("prometheus"), ...instances("braid_build_info")],
    sections: [
      { panels: [...overview(), alerts()] },
      { title: "What comes in", panels: ingress() },
      { title: "The account: where everything went", panels: [account(), ...outcomes()] },
      { title: "Sinks", panels: sinks() },
      { title: "Memory and CPU", panels: resources() },
      { title: "Series and pages", panels: series(dialect) },
    ],
  });
}

function overview(): Panel[] {
  return [
    single({
      title: "Version",
      description: "Versions of the Braids that run.",
      unit: "string",
      width: 4,
      plain: true,
      showName: true,
      expr: sum(select("braid_build_info"), "version"),
      legend: "{{version}}",
    }),
    single({
      title: "Configuration",
      description: "Digests of the configurations in effect, as `braid print-config` prints them. More than one means that instances differ.",
      unit: "string",
      width: 8,
      plain: true,
      showName: true,
      expr: sum(
        `label_replace(${select("braid_config_info")}, "short", "$1", "sha256", "(.{12}).*")`,
        "short",
      ),
      legend: "{{short}}",
    }),
    single({
      title: "Up since",
      description: "When the youngest process started. Counters, and what the window knows, begin there.",
      unit: "dateTimeFromNow",
      width: 4,
      plain: true,
      expr: `1000 * ${max(process("process_start_time_seconds"))}`,
    }),
    single({
      title: "The account",
      description: "Whether accepted = held + queued + delivered + dead-lettered + dropped holds for every signal and sink, as it always must.",
      unit: "none",
      width: 4,
      plain: true,
      expr: `min(${select("braid_account_balanced")})`,
      names: { 0: ["does not add up", BAD], 1: ["adds up", CALM] },
    }),
    single({
      title: "Memory pressure",
      description: "What want of memory makes Braid do, on the instance where it is worst.",
      unit: "none",
      width: 4,
      plain: true,
      expr: max(select("braid_memory_pressure_level")),
      names: PRESSURE,
    }),
  ];
}

/** From dashboards/prometheus/braid-alerts.yaml. Some of them are about instances that are gone, so all are shown. */
function alerts(): Panel {
  return alertTable({
    title: "Alerts on Braid",
    description: "Braid's own alerts that fire or are about to, of every instance, as Prometheus sees them. Each has a runbook.",
    height: 6,
    matchers: ['alertname=~"Braid.+"'],
    about: [{ label: "instance", header: "Instance", absent: "all" }],
  });
}

function ingress(): Panel[] {
  return [
    graph({
      title: "Received",
      description: "Spans, logs and data points a second, of requests that could be decoded.",
      unit: "cps",
      width: 12,
      stacked: true,
      queries: [
        { expr: sum(rate(select("braid_ingress_items_total", 'outcome="received"')), "signal"), legend: "{{signal}}" },
      ],
    }),
    graph({
      title: "Refused and rejected items",
      description:
        "Items a second that did not get in: refused for want of memory or because a sink is full, and to be sent again; or rejected for what they are. At 0, all got in.",
      unit: "cps",
      width: 12,
      queries: [
        {
          expr: sum(rate(select("braid_ingress_items_total", 'outcome!~"received|submitted"')), "outcome"),
          legend: "{{outcome}}",
        },
      ],
    }),
    graph({
      title: "Requests by answer",
      description: "Requests of receivers a second, by what their senders were told.",
      unit: "reqps",
      width: 8,
      stacked: true,
      queries: [{ expr: sum(rate(select("braid_receiver_requests_total")), "outcome"), legend: "{{outcome}}" }],
      colors: { accepted: CALM, refused: BAD },
    }),
    graph({
      title: "Turned away by listeners",
      description: "Connections and requests a second that a listener turned away, all together and by listener and reason.",
      unit: "cps",
      width: 8,
      queries: [
        { expr: sum(rate(select("braid_listener_refused_total"))), legend: "all" },
        {
          expr: `${sum(rate(select("braid_listener_refused_total")), "listener", "reason")} > 0`,
          legend: "{{listener}}: {{reason}}",
        },
      ],
    }),
    graph({
      title: "Bytes received",
      description: "Request bodies as they were sent, and after decompression.",
      unit: "Bps",
      width: 8,
      queries: [
        { expr: sum(rate(select("braid_receiver_bytes_total"))), legend: "as sent" },
        { expr: sum(rate(select("braid_receiver_decompressed_bytes_total"))), legend: "decompressed" },
      ],
    }),
    graph({
      title: "Requests that could not be decoded",
      description: "Requests a second that were refused before their items could be counted.",
      unit: "reqps",
      width: 12,
      height: 6,
      queries: [
        { expr: sum(rate(select("braid_ingress_undecodable_requests_total")), "signal"), legend: "{{signal}}" },
      ],
    }),
    graph({
      title: "Open connections",
      description: "Connections open, by listener.",
      unit: "short",
      width: 12,
      height: 6,
      queries: [{ expr: sum(select("braid_listener_connections_open"), "listener"), legend: "{{listener}}" }],
    }),
  ];
}

function resources(): Panel[] {
  return [
    graph({
      title: "Resident memory",
      description: "What the process uses of what memory.budget allows it.",
      unit: "bytes",
      width: 8,
      queries: [
        { expr: process("process_resident_memory_bytes"), legend: "{{instance}}" },
        { expr: max(select("braid_memory_budget_bytes"), "instance"), legend: "{{instance}}: budget" },
      ],
    }),
    graph({
      title: "Requests and chunks in memory",
      description: "Slabs in use, idle ones kept for reuse, and the limit beyond which requests are refused.",
      unit: "bytes",
      width: 8,
      queries: [
        { expr: sum(select("braid_memory_slab_bytes"), "state"), legend: "{{state}}" },
        { expr: sum(select("braid_memory_slab_limit_bytes")), legend: "limit" },
      ],
      colors: { limit: BAD },
    }),
    graph({
      title: "Memory pressure over time",
      description: "1: holds are halved; 2: the oldest traces are decided at once; 3: requests are refused.",
      unit: "none",
      width: 8,
      max: 3,
      steps: true,
      names: { 0: "none", 1: "holds halved", 2: "deciding early", 3: "refusing" },
      queries: [{ expr: max(select("braid_memory_pressure_level"), "instance"), legend: "{{instance}}" }],
    }),
    graph({
      title: "CPU",
      description: "Cores in use.",
      unit: "none",
      decimals: 2,
      width: 12,
      queries: [
        {
          expr: `${rate(select("process_cpu_seconds_total"))} and on (job, instance) ${select("braid_build_info")}`,
          legend: "{{instance}}",
        },
      ],
    }),
    graph({
      title: "Memory by use",
      description: "The window's tables when full, the store, derived and ingested series, and the service graph.",
      unit: "bytes",
      width: 12,
      queries: [
        { expr: sum(select("braid_window_bytes")), legend: "window" },
        { expr: sum(select("braid_store_bytes")), legend: "store" },
        { expr: sum(select("braid_series_bytes")), legend: "derived series" },
        { expr: sum(select("braid_ingested_bytes")), legend: "ingested series" },
        { expr: sum(select("braid_graph_bytes")), legend: "service graph" },
      ],
    }),
  ];
}

function series(dialect: Dialect): Panel[] {
  return [
    graph({
      title: "Series",
      description: "Label sets counted apart, and metrics.max_series, beyond which names are lost; and the series that applications sent.",
      unit: "short",
      width: 8,
      queries: [
        { expr: sum(select("braid_series_derived_series")), legend: "derived" },
        { expr: sum(select("braid_series_derived_series_limit")), legend: "limit of derived" },
        { expr: sum(select("braid_ingested_series")), legend: "ingested" },
      ],
      colors: { "limit of derived": BAD },
    }),
    graph({
      title: "Spans beyond the limit",
      description: "Spans a second that are counted without their name. At 0, every name has its series.",
      unit: "cps",
      width: 8,
      queries: [{ expr: sum(rate(select("braid_series_overflow_spans_total"))), legend: "without name" }],
      colors: { "without name": WARN },
    }),
    graph({
      title: "Spans beyond the limit by service",
      description: "Whose names are lost: the services with spans in an overflow series.",
      unit: "cps",
      width: 8,
      empty: "None",
      queries: [
        {
          expr: sum(rate(select(dialect.calls, `${dialect.overflow}="true"`)), dialect.service),
          legend: `{{${dialect.service}}}`,
        },
      ],
    }),
    graph({
      title: "Metrics pages",
      description: "Pages written a second: scrapes, and looks at /metrics.",
      unit: "cps",
      width: 8,
      decimals: 3,
      queries: [{ expr: sum(rate(select("braid_exposition_pages_total")), "instance"), legend: "{{instance}}" }],
    }),
    graph({
      title: "Series left out of pages",
      description: "Series a second that a page could not carry, by reason. page_full: a page is cut at a quarter of the memory budget.",
      unit: "cps",
      width: 8,
      queries: [{ expr: sum(rate(select("braid_exposition_skipped_series_total")), "reason"), legend: "{{reason}}" }],
    }),
    graph({
      title: "Points not shown",
      description: "Data points a second that were forwarded, but could not be shown on the page, by reason.",
      unit: "cps",
      width: 8,
      queries: [{ expr: sum(rate(select("braid_ingested_not_exposed_points_total")), "reason"), legend: "{{reason}}" }],
    }),
  ];
}
