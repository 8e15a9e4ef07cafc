// How well the signals find each other, and why not where they do not.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { build } from "../build.js";
import type { Dialect } from "../dialect.js";
import { UIDS } from "../links.js";
import { BAD, CALM, graph, type Graph, NOTICE, type Panel, single, type Stat, WARN } from "../panels.js";
import { max, quantile, rate, select, sum } from "../promql.js";
import { dataSource, instances } from "../variables.js";

const LOGS = "braid_correlated_logs_total";
const TRACES = "braid_self_time_traces_total";
const VOTES = "braid_votes_total";

const EARLY = "braid_votes_early_total";

/** Of a ratio that should be near 1. */
const JOINED_STEPS: [number | null, string][] = [[null, BAD], [0.9, WARN], [0.99, CALM]];

function part(metric: string, ...matchers: string[]): string {
  return sum(rate(select(metric, ...matchers)));
}

/** Logs with a span ID that left with what their span knew. */
const logsJoined = `${part(LOGS, 'result="span"')} / (${part(LOGS, 'result=~"span|unjoined"')} > 0)`;
const tracesComplete = `${part(TRACES, 'complete="true"')} / (${part(TRACES)} > 0)`;
/** Votes that came before their trace count once the trace has come; that may be a moment later, so never above 1. */
const exemplarsMet = `clamp_max((${part(VOTES, 'result!="early"')} + ${part(EARLY, 'result="met"')}) / (${part(VOTES)} > 0), 1)`;

export function correlation(dialect: Dialect): dashboard.Dashboard {
  return build({
    uid: UIDS.correlation,
    title: "Braid / Correlation quality",
    description: "How many logs, traces and exemplars were joined, why the others were not, and how long it took.",
    from: "now-1h",
    refresh: "30s",
    variables: [dataSource("prometheus"), ...instances("braid_build_info")],
    sections: [
      { panels: overview() },
      { title: "Logs and their spans", panels: joins() },
      { title: "Traces", panels: traces() },
      { title: "The window: how far back joins reach", panels: window_() },
      { title: "Exemplars", panels: exemplars(dialect) },
    ],
  });
}

function overview(): Panel[] {
  const joined = (s: Pick<Stat, "title" | "description" | "expr">) =>
    single({ ...s, unit: "percentunit", decimals: 2, width: 6, min: 0, max: 1, thresholds: JOINED_STEPS });
  return [
    joined({
      title: "Logs joined",
      description: "Share of the logs that name a span and left knowing it. Logs without trace context do not count.",
      expr: logsJoined,
    }),
    joined({
      title: "Traces complete",
      description:
        "Share of traces that had one root, and the parent of every other span, at their verdict: only of those is self time known.",
      expr: tracesComplete,
    }),
    joined({
      title: "Exemplars that found their trace",
      description: "Share of the exemplars of incoming metrics whose trace has passed through here.",
      expr: exemplarsMet,
    }),
    single({
      title: "Exemplars that lead nowhere",
      description: "Traces that shown exemplars point to and that cannot be fetched from Braid any more, or never could.",
      unit: "none",
      width: 6,
      expr: sum(select("braid_store_unpinned_traces")),
      thresholds: [[null, CALM], [1, NOTICE], [100, WARN]],
    }),
    graph({
      title: "Joined ratio by signal",
      description: "As above, over time. Nothing is drawn for a signal that does not arrive.",
      unit: "percentunit",
      width: 24,
      max: 1,
      queries: [
        { expr: logsJoined, legend: "logs" },
        { expr: tracesComplete, legend: "traces" },
        { expr: exemplarsMet, legend: "exemplars of metrics" },
      ],
      calcs: ["lastNotNull", "min"],
    }),
  ];
}

function joins(): Panel[] {
  return [
    graph({
      title: "Logs by how they left",
      description: "Joined because the span was there first, or came while the log was held; and the others by reason.",
      unit: "cps",
      width: 12,
      stacked: true,
      queries: [{ expr: sum(rate(select(LOGS)), "reason"), legend: "{{reason}}" }],
      colors: { span_was_there: CALM, span_came: "semi-dark-green" },
    }),
    graph({
      title: "Why not joined",
      description:
        "Logs a second. no_context and bad_id: the log names no trace. no_span_id: it names only a trace. no_span: the span did not come while the log was held. unsampled: its flags say that none will. over_budget and evicted: memory, or the window's room, ended the wait. shutdown: the process did.",
      unit: "cps",
      width: 12,
      queries: [{ expr: sum(rate(select(LOGS, 'result!="span"')), "reason"), legend: "{{reason}}" }],
      colors: { evicted: BAD, over_budget: WARN },
    }),
    graph({
      title: "Join delay",
      description: "How long joined logs were held until their span came; 0 where it was there first.",
      unit: "s",
      width: 12,
      queries: [0.5, 0.95, 0.99].map((q) => ({
        expr: quantile(q, sum(rate(select("braid_join_wait_seconds_bucket")), "le")),
        legend: `p${q * 100}`,
      })),
    }),
    graph({
      title: "Logs that wait",
      description: "Logs held for their span right now.",
      unit: "short",
      width: 6,
      queries: [{ expr: sum(select("braid_window_waiting_logs")), legend: "logs" }],
    }),
    graph({
      title: "Held bytes",
      description: "Bytes of spans and logs held for a join or a verdict. The bound is 15 % of the memory budget.",
      unit: "bytes",
      width: 6,
      queries: [
        { expr: sum(select("braid_window_held_bytes")), legend: "held" },
        { expr: `0.15 * ${sum(select("braid_memory_budget_bytes"))}`, legend: "bound" },
      ],
      colors: { bound: BAD },
    }),
  ];
}

function traces(): Panel[] {
  const count = (g: Pick<Graph, "title" | "description" | "queries" | "stacked" | "colors">) =>
    graph({ ...g, unit: "cps", width: 8 });
  return [
    count({
      title: "Verdicts by trigger",
      description:
        "Traces decided each second. root: some time after their root ended, as it should be. timeout: without a root. pressure, budget, evicted: earlier than wanted, for want of memory or room. shutdown: the process ended.",
      queries: [{ expr: sum(rate(select("braid_verdicts_total")), "trigger"), legend: "{{trigger}}" }],
      stacked: true,
      colors: { root: CALM, evicted: BAD, budget: WARN, pressure: WARN },
    }),
    count({
      title: "Late and repeated",
      description:
        "Spans a second that came after their trace's verdict, spans that had come before, and requests that had come before as a whole. Repeated ones are counted once in every metric.",
      queries: [
        { expr: part("braid_late_spans_total"), legend: "late spans" },
        { expr: part("braid_duplicate_spans_total"), legend: "repeated spans" },
        { expr: part("braid_duplicate_requests_total"), legend: "repeated requests" },
      ],
    }),
    count({
      title: "Incomplete traces",
      description: "Traces a second that missed a span, or had no single root, at their verdict.",
      queries: [{ expr: part(TRACES, 'complete="false"'), legend: "incomplete" }],
      colors: { incomplete: WARN },
    }),
  ];
}

function window_(): Panel[] {
  return [
    graph({
      title: "Window fill",
      description:
        "Share of the window's records in use. A full window is no fault: the oldest records then give way, and the horizon says how old they are.",
      unit: "percentunit",
      width: 8,
      max: 1,
      queries: [
        {
          expr: `${sum(select("braid_window_records"), "instance")} / ${sum(select("braid_window_capacity_records"), "instance")}`,
          legend: "{{instance}}",
        },
      ],
    }),
    graph({
      title: "Horizon",
      description:
        "How far back joins and repeated spans are recognised, repeated requests, and finished traces fetched. Until the window has been full it grows with the uptime.",
      unit: "s",
      width: 8,
      queries: [
        { expr: `min(${select("braid_window_horizon_seconds")})`, legend: "joins and repeated spans" },
        { expr: `min(${select("braid_window_digest_horizon_seconds")})`, legend: "repeated requests" },
        { expr: `min(${select("braid_store_horizon_seconds")})`, legend: "fetching traces" },
      ],
      calcs: ["lastNotNull", "min"],
    }),
    graph({
      title: "Evictions",
      description: "Entries of the window a second that were still needed and gave way to new ones. Above 0, joins are lost.",
      unit: "cps",
      width: 8,
      queries: [{ expr: sum(rate(select("braid_window_evicted_total")), "what"), legend: "{{what}}" }],
    }),
    graph({
      title: "Open traces",
      description: "Traces without a verdict, and requests of which some item is still held.",
      unit: "short",
      width: 12,
      queries: [
        { expr: sum(select("braid_window_open_traces")), legend: "open traces" },
        { expr: sum(select("braid_window_batches")), legend: "requests" },
      ],
    }),
    graph({
      title: "Store",
      description: "Finished spans and logs that the trace API can show.",
      unit: "short",
      width: 12,
      queries: [{ expr: sum(select("braid_store_items")), legend: "spans and logs" }],
    }),
  ];
}

function exemplars(dialect: Dialect): Panel[] {
  return [
    graph({
      title: "Traces of exemplars",
      description:
        "Traces that shown exemplars point to: kept beyond the store's horizon for that, or not to be had. Exemplars of traces that are still in the store are in neither.",
      unit: "short",
      width: 8,
      queries: [
        { expr: sum(select("braid_store_pinned_traces")), legend: "kept" },
        { expr: sum(select("braid_store_unpinned_traces")), legend: "cannot be fetched" },
      ],
      colors: { kept: CALM, "cannot be fetched": WARN },
    }),
    graph({
      title: "Kept traces lost",
      description: "Traces of exemplars a second that could not be kept: their share of the store was full, or there were too many.",
      unit: "cps",
      width: 8,
      queries: [{ expr: sum(rate(select("braid_store_pins_lost_total")), "reason"), legend: "{{reason}}" }],
    }),
    graph({
      title: "Exemplars shown",
      description: `Exemplars on ${dialect.calls}, ${dialect.latency} and the service graph's metrics, and those that found no room.`,
      unit: "short",
      width: 8,
      queries: [
        { expr: sum(select("braid_series_exemplars")), legend: "shown" },
        { expr: sum(`increase(${select("braid_series_exemplars_refused_total")}[$__rate_interval])`), legend: "no room" },
      ],
    }),
    graph({
      title: "Votes of incoming exemplars",
      description:
        "Exemplars of incoming metrics a second, by what of their trace was there: the trace, only its tombstone, nothing yet, or an earlier vote.",
      unit: "cps",
      width: 16,
      stacked: true,
      queries: [{ expr: sum(rate(select(VOTES)), "result"), legend: "{{result}}" }],
    }),
    graph({
      title: "Early votes",
      description: "Votes that came before their trace: those that wait for it, and those a second whose trace never came.",
      unit: "short",
      width: 8,
      queries: [
        { expr: max(select("braid_votes_early_waiting")), legend: "waiting" },
        { expr: part(EARLY, 'result="forgotten"'), legend: "forgotten a second" },
      ],
    }),
  ];
}
