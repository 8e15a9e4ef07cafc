// One service: how it does, who calls it, whom it calls, and its logs and traces.

import * as common from "@grafana/grafana-foundation-sdk/common";
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as table from "@grafana/grafana-foundation-sdk/table";
import * as tempo from "@grafana/grafana-foundation-sdk/tempo";

import { build } from "../build.js";
import type { Dialect } from "../dialect.js";
import { Edges, type Side } from "../edges.js";
import { field, toService, toTraces, UIDS } from "../links.js";
import { BAD, buckets, CALM, graph, logLines, type Panel, single } from "../panels.js";
import { increase, rate, select, sum } from "../promql.js";
import { Red, SERVED } from "../red.js";
import { rows } from "../tables.js";
import { choice, dataSource, fixed, instances, TEMPO } from "../variables.js";
import { ERROR_STEPS, overRange } from "./services.js";

const CARRY = ["prometheus_datasource", "loki_datasource", "tempo_datasource", "job", "instance"];

export function service(dialect: Dialect): dashboard.Dashboard {
  const own = `${dialect.service}="$service"`;
  return build({
    uid: UIDS.service,
    title: "Braid / Service detail",
    description: "One service: rate, errors and duration of what it serves, its neighbours, its logs and its traces.",
    from: "now-30m",
    refresh: "30s",
    variables: [
      dataSource("prometheus"),
      dataSource("loki"),
      dataSource("tempo"),
      ...instances(dialect.calls),
      choice({
        name: "service",
        label: "Service",
        query: `label_values(${dialect.calls}{job=~"$job", instance=~"$instance"}, ${dialect.service})`,
      }),
      choice({
        name: "operation",
        label: "Operation",
        query: `label_values(${dialect.calls}{job=~"$job", instance=~"$instance", ${own}, ${SERVED}}, span_name)`,
        all: ".*",
      }),
      fixed("slower_than", "Traces slower than", ["100ms", "0ms", "10ms", "50ms", "250ms", "500ms", "1s", "5s"]),
    ],
    sections: [
      { panels: red(dialect, [own, SERVED, 'span_name=~"$operation"']) },
      { title: "By operation", panels: [operations(dialect, own), selfTime(dialect, own)] },
      { title: "Neighbours", panels: [neighbours(dialect, "callers"), neighbours(dialect, "callees")] },
      { title: "Logs and traces", panels: [errorLogs(), slowTraces()] },
    ],
  });
}

function red(dialect: Dialect, served: string[]): Panel[] {
  const of = new Red(dialect, served, []);
  return [
    single({
      title: "Requests",
      description: "Requests a second that the service serves.",
      unit: "reqps",
      width: 8,
      expr: of.rate(),
    }),
    single({
      title: "Errors",
      description: "Share of these requests that failed.",
      unit: "percentunit",
      decimals: 2,
      width: 8,
      expr: of.errorRatio(),
      thresholds: ERROR_STEPS,
    }),
    single({
      title: "p95 of duration",
      description: "95 % of these requests took no longer.",
      unit: dialect.latencyUnit,
      width: 8,
      expr: of.quantile(0.95),
    }),
    buckets({
      title: "Durations",
      description:
        "Requests by duration: the more a cell stands out, the more of them. Points are exemplars, failing and slow requests first: each leads to its trace.",
      unit: dialect.latencyUnit,
      cellUnit: "reqps",
      width: 24,
      expr: of.heat(),
    }),
    graph({
      title: "Requests by outcome",
      description: "Requests a second, those that failed on top.",
      unit: "reqps",
      width: 8,
      stacked: true,
      queries: [
        { expr: `${of.rate()} - ${of.failedRate()}`, legend: "answered" },
        { expr: of.failedRate(), legend: "failed" },
      ],
      colors: { answered: CALM, failed: BAD },
    }),
    graph({
      title: "Error ratio",
      description: "Share of requests that failed; 0 where none did, and nothing where there were none.",
      unit: "percentunit",
      width: 8,
      queries: [{ expr: of.errorRatio(), legend: "failed" }],
      thresholds: ERROR_STEPS,
      colors: { failed: BAD },
    }),
    graph({
      title: "Duration",
      description: "Half, 95 % and 99 % of requests took no longer. Points are exemplars: each leads to its trace.",
      unit: dialect.latencyUnit,
      width: 8,
      queries: [0.5, 0.95, 0.99].map((q) => ({ expr: of.quantile(q), legend: `p${q * 100}`, exemplar: q === 0.99 })),
    }),
  ];
}

function operations(dialect: Dialect, own: string): Panel {
  const each = new Red(dialect, [own, SERVED], ["span_name"]);
  const of = [own, SERVED];
  const self = sum(increase(select(dialect.selfSeconds, ...of)), "span_name");
  const selfSpans = sum(increase(select(dialect.selfSpans, ...of)), "span_name");
  const traceql = `{ resource.service.name = "\${service:percentencode}" && name = "${field("span_name")}" }`;
  return rows({
    title: "Operations",
    description:
      "What the service serves, over the time shown. Self time is what is left of a request's time without that of the calls it makes; it is known of complete traces.",
    width: 24,
    height: 9,
    empty: "No requests",
    keys: [
      {
        label: "span_name",
        header: "Operation",
        absent: "(beyond metrics.max_series)",
        links: [
          toService("Only this operation", "${service:percentencode}", CARRY, field("span_name")),
          toTraces("Its traces", traceql),
        ],
      },
    ],
    columns: [
      ...overRange(dialect, each),
      { header: "Mean self time", expr: `${self} / (${selfSpans} > 0)`, unit: "s" },
    ],
    sortBy: "Requests",
  });
}

function selfTime(dialect: Dialect, own: string): Panel {
  return graph({
    title: "Self time by operation",
    description:
      "Where the service's time goes: seconds spent each second in the spans of an operation, without their children. Calls to databases and to services without tracing count as its own.",
    unit: "s",
    width: 24,
    stacked: true,
    queries: [
      {
        expr: sum(rate(select(dialect.selfSeconds, own)), "span_name", "span_kind"),
        legend: "{{span_name}} ({{span_kind}})",
      },
    ],
    calcs: ["mean", "max"],
  });
}

function neighbours(dialect: Dialect, which: "callers" | "callees"): Panel {
  const [mine, theirs, side]: [string, string, Side] =
    which === "callers" ? ["server", "client", "server"] : ["client", "server", "client"];
  const edges = new Edges([`${mine}="$service"`], [theirs, "connection_type"]);
  return rows({
    title: which === "callers" ? "Callers" : "Calls",
    description:
      (which === "callers"
        ? "Who calls the service, over the time shown, with the time that the service took."
        : "Whom the service calls, over the time shown, with the time that it waited."),
    width: 12,
    empty: which === "callers" ? "Nothing calls it" : "It calls nothing",
    keys: [
      {
        label: theirs,
        header: which === "callers" ? "Caller" : "Called",
        links: [toService("Service detail", field(theirs), CARRY)],
      },
      { label: "connection_type", header: "Connection", absent: "request" },
    ],
    columns: [
      { header: "Requests", expr: edges.count(), unit: "locale", decimals: 0 },
      { header: "Rate", expr: edges.meanRate(), unit: "reqps", decimals: 2 },
      { header: "Errors", expr: edges.errorRatio(), unit: "percentunit", decimals: 2, thresholds: ERROR_STEPS },
      { header: "Mean", expr: edges.mean(side), unit: "s" },
      { header: "p95", expr: edges.quantile(0.95, side), unit: "s", below: dialect.graphBuckets },
    ],
    sortBy: "Requests",
  });
}

function errorLogs(): Panel {
  return logLines({
    title: "Error logs",
    description:
      "Lines of severity ERROR and above. Open one for the link to its trace, and for what Braid knew of its span: span_name, span_duration_ms, trace_root_name, ...",
    width: 24,
    // Braid's Loki sink writes severity_number where the log had one; detected_level is what Loki itself makes of
    // the severity, or of the line.
    expr: '{service_name="$service"} | severity_number >= 17 or detected_level=~"error|fatal|critical"',
  });
}

function slowTraces(): Panel {
  const query = '{ resource.service.name = "$service" && (kind = server || kind = consumer) && duration > $slower_than }';
  return new table.PanelBuilder()
    .title("Slow traces")
    .description(
      "Traces in which the service took longer than chosen above, the latest found. The trace ID leads to the trace, and from its spans to their logs.",
    )
    .datasource(TEMPO)
    .unit("short")
    .cellOptions({ type: common.TableCellDisplayMode.Auto })
    .span(24)
    .height(9)
    .noValue("No trace was slower")
    .withTarget(
      new tempo.DataqueryBuilder()
        .datasource(TEMPO)
        .queryType("traceql")
        .query(query)
        .tableType(tempo.SearchTableType.Traces)
        .limit(20)
        .spss(3)
        .refId("A"),
    );
}
