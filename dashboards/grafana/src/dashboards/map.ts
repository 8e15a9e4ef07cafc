// Who calls whom.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { build } from "../build.js";
import { type Dialect, graph as names } from "../dialect.js";
import { Edges } from "../edges.js";
import { field, toService, toTraces, UIDS } from "../links.js";
import { type NodeGraph, nodeGraph } from "../nodegraph.js";
import { graph, type Panel } from "../panels.js";
import { constantLabel, ratio, RANGE, rate, relabel, select, sum } from "../promql.js";
import { rows } from "../tables.js";
import { dataSource, instances } from "../variables.js";
import { ERROR_STEPS } from "./services.js";

const CARRY = ["prometheus_datasource", "tempo_datasource", "job", "instance"];
const RED = "rgb(242, 73, 92)";
const ORANGE = "rgb(255, 152, 48)";
const GREEN = "rgb(115, 191, 105)";

export function map(dialect: Dialect): dashboard.Dashboard {
  return build({
    uid: UIDS.map,
    title: "Braid / Service map",
    description: "The requests between services, databases and brokers, as found in the traces.",
    from: "now-30m",
    refresh: "1m",
    variables: [dataSource("prometheus"), dataSource("tempo"), ...instances(names.requests)],
    sections: [
      { panels: [picture(dialect), connections(dialect)] },
      { title: "Over time", panels: [busiest("requests"), busiest("failures"), unpaired()] },
    ],
  });
}

const over = (selector: string) => `rate(${selector}[${RANGE}])`;

function picture(dialect: Dialect): Panel {
  return nodeGraph({
    title: "Service map",
    description:
      "Requests over the time shown. In a node: requests a second that it answers, and how long it takes on average; of what nothing calls, requests that it sends and how long it waits. The ring is red for the share that failed. On a connection: requests a second and the share that failed; its colour turns at 1 % and 5 %. Dashed: by message. What has no spans of its own is marked: its times are its callers'.",
    width: 24,
    height: 18,
    nodes: nodes(dialect),
    edges: edges(),
    nodeUnits: ["req/s", "ms"],
    edgeUnits: ["req/s", "% failed"],
    arcs: { arc__ok: GREEN, arc__failed: RED },
    nodeLinks: [
      toService("Service detail", field("id"), CARRY),
      toTraces("Its traces", `{ resource.service.name = "${field("id")}" }`),
    ],
    edgeLinks: [toTraces("Traces of these requests", between(field("source"), field("target")))],
  });
}

const between = (client: string, server: string) =>
  `{ resource.service.name = "${client}" } > { resource.service.name = "${server}" }`;

function nodes(dialect: Dialect): NodeGraph["nodes"] {
  const requests = over(select(names.requests));
  const databases = over(select(names.requests, 'connection_type="database"'));
  const spans = relabel(over(select(dialect.calls)), "id", dialect.service);
  const everyEnd = `(${relabel(requests, "id", "server")} or ${relabel(requests, "id", "client")})`;
  const node = (ends: string, subtitle: string, icon?: string) => {
    const titled = constantLabel(relabel(ends, "title", "id"), "subtitle", subtitle);
    return icon === undefined
      ? `group by (id, title, subtitle) (${titled})`
      : `group by (id, title, subtitle, icon) (${constantLabel(titled, "icon", icon)})`;
  };
  const called = `${node(relabel(databases, "id", "server"), "database", "database")}`;
  const traced = `(${node(everyEnd, "service")} and on (id) ${spans})`;
  const others = node(everyEnd, "no spans", "cloud");

  // What a node answers; of what nothing calls, what it sends.
  const byEnd = (of: (end: "server" | "client") => string) => `${of("server")} or ${of("client")}`;
  const at = (metric: string, end: string) => sum(relabel(over(select(metric)), "id", end), "id");
  const failed = `(${byEnd((end) => ratio(at(names.failed, end), at(names.requests, end)))})`;
  const milliseconds = byEnd((end) => {
    const seconds = end === "server" ? names.serverSeconds : names.clientSeconds;
    return `1000 * ${at(`${seconds}_sum`, end)} / (${at(`${seconds}_count`, end)} > 0)`;
  });
  return [
    { expr: `${called} or on (id) ${traced} or on (id) ${others}` },
    { column: "mainstat", expr: byEnd((end) => at(names.requests, end)) },
    { column: "secondarystat", expr: milliseconds },
    { column: "arc__ok", expr: `1 - ${failed}` },
    { column: "arc__failed", expr: failed },
  ];
}

function edges(): NodeGraph["edges"] {
  const named = (expr: string, ...more: string[]) => {
    const ends = relabel(relabel(expr, "source", "client"), "target", "server");
    const kind = relabel(ends, "detail__connection", "connection_type");
    const dashed = `label_replace(${kind}, "strokedasharray", "6 4", "connection_type", "messaging_system")`;
    const identified = `label_join(${dashed}, "id", " > ", "client", "server", "connection_type")`;
    return sum(identified, "id", "source", "target", "detail__connection", "strokedasharray", ...more);
  };
  const by = ["client", "server", "connection_type"];
  const requests = sum(over(select(names.requests)), ...by);
  const failed = ratio(sum(over(select(names.failed)), ...by), requests);
  const colored =
    `(${constantLabel(`${failed} >= 0.05`, "color", RED)}` +
    ` or on (${by.join(", ")}) ${constantLabel(`${failed} >= 0.01`, "color", ORANGE)}` +
    ` or on (${by.join(", ")}) ${constantLabel(requests, "color", GREEN)})`;
  return [
    { expr: named(colored, "color") },
    { column: "mainstat", expr: named(requests) },
    { column: "secondarystat", expr: named(`100 * ${failed}`) },
  ];
}

function connections(dialect: Dialect): Panel {
  const each = new Edges([], ["client", "server", "connection_type"]);
  return rows({
    title: "Connections",
    description: "Every connection over the time shown. Durations are the server's.",
    width: 24,
    height: 11,
    empty: "No requests between services",
    keys: [
      { label: "client", header: "Client", links: [toService("Service detail", field("client"), CARRY)] },
      {
        label: "server",
        header: "Server",
        links: [
          toService("Service detail", field("server"), CARRY),
          toTraces("Traces of these requests", between(field("client"), field("server"))),
        ],
      },
      { label: "connection_type", header: "Connection", absent: "request" },
    ],
    columns: [
      { header: "Requests", expr: each.count(), unit: "locale", decimals: 0 },
      { header: "Rate", expr: each.meanRate(), unit: "reqps", decimals: 2 },
      { header: "Errors", expr: each.errorRatio(), unit: "percentunit", decimals: 2, thresholds: ERROR_STEPS },
      { header: "Mean", expr: each.mean("server"), unit: "s" },
      { header: "p95", expr: each.quantile(0.95, "server"), unit: "s", below: dialect.graphBuckets },
    ],
    sortBy: "Requests",
  });
}

function busiest(what: "requests" | "failures"): Panel {
  const each = new Edges([], ["client", "server"]);
  return graph({
    title: what === "requests" ? "Busiest connections" : "Failures by connection",
    description:
      what === "requests"
        ? "Requests a second on the ten connections that are busiest over the time shown."
        : "Failed requests a second on the ten connections where most fail over the time shown; at 0, none do.",
    unit: "reqps",
    width: 12,
    queries: [
      {
        expr: each.busiest(10, what),
        legend: "{{client}} to {{server}}",
      },
    ],
  });
}

function unpaired(): Panel {
  return graph({
    title: "Spans that make no connection",
    description:
      "Spans a second of which one side is missing from the map: no_server and no_client had nobody answer or call within metrics.graph.wait and no attribute that names a peer; no_service has no service.name; late came after its peer was given up; evicted left the window first.",
    unit: "cps",
    width: 24,
    height: 7,
    queries: [{ expr: sum(rate(select("braid_graph_unpaired_spans_total")), "reason"), legend: "{{reason}}" }],
  });
}
