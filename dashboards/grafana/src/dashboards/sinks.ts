// The part of Operations that is about where everything went: the account, and the sinks.

import { BAD, CALM, graph, type Panel, WARN } from "../panels.js";
import { max, rate, select, sum } from "../promql.js";
import { rows } from "../tables.js";

export function account(): Panel {
  const by = ["sink", "signal"];
  // Totals, not rates: these are the account itself, exact at every instant, which is the point of it.
  const outcome = (name: string) => sum(select("braid_account_items_total", `outcome="${name}"`), ...by);
  const place = (name: string) => sum(select("braid_account_pending_items", `place="${name}"`), ...by);
  return rows({
    title: "Account by sink",
    description:
      "Items since the process started: accepted = held + queued + delivered + dead-lettered + dropped. The sink braid is what stays inside: spans and logs in the store, metrics on the page.",
    width: 24,
    height: 8,
    keys: [
      { label: "sink", header: "Sink" },
      { label: "signal", header: "Signal" },
    ],
    columns: [
      { header: "Accepted", expr: outcome("accepted"), unit: "locale" },
      { header: "Held", expr: place("held"), unit: "locale" },
      { header: "Queued", expr: place("queued"), unit: "locale" },
      { header: "Delivered", expr: outcome("delivered"), unit: "locale" },
      { header: "Dead-lettered", expr: outcome("dead_lettered"), unit: "locale", thresholds: [[null, CALM], [1, BAD]] },
      {
        header: "Dropped",
        expr: sum(select("braid_dropped_items_total"), ...by),
        unit: "locale",
        thresholds: [[null, CALM], [1, WARN]],
      },
      {
        header: "Adds up",
        expr: `min by (sink, signal) (${select("braid_account_balanced")})`,
        unit: "none",
        names: { 0: ["no", BAD], 1: ["yes", CALM] },
      },
    ],
    sortBy: "Accepted",
  });
}

export function outcomes(): Panel[] {
  return [
    graph({
      title: "Delivered",
      description: "Items a second that each sink took.",
      unit: "cps",
      width: 12,
      queries: [
        {
          expr: sum(rate(select("braid_account_items_total", 'outcome="delivered"')), "sink", "signal"),
          legend: "{{sink}}: {{signal}}",
        },
      ],
    }),
    graph({
      title: "Lost and set aside",
      description:
        "Items a second that were dropped or dead-lettered, all together, and those dropped by sink and reason. duplicate is as it should be; queue_full, too_large and encode are losses.",
      unit: "cps",
      width: 12,
      queries: [
        { expr: sum(rate(select("braid_dropped_items_total"))), legend: "dropped" },
        {
          expr: sum(rate(select("braid_account_items_total", 'outcome="dead_lettered"'))),
          legend: "dead-lettered",
        },
        {
          expr: `${sum(rate(select("braid_dropped_items_total")), "sink", "reason")} > 0`,
          legend: "{{sink}}: {{reason}}",
        },
      ],
    }),
  ];
}

export function sinks(): Panel[] {
  const bySink = (title: string, description: string, unit: "bytes" | "s" | "short" | "reqps" | "Bps", expr: string, width = 8) =>
    graph({ title, description, unit, width, queries: [{ expr, legend: "{{sink}}" }] });
  const queue = sum(select("braid_sink_queue_bytes"), "sink");
  const limit = sum(select("braid_sink_queue_limit_bytes"), "sink");
  return [
    graph({
      title: "Queues",
      description: "Bytes queued for a sink or under way to it, and where its on_full applies.",
      unit: "bytes",
      width: 12,
      queries: [
        { expr: queue, legend: "{{sink}}" },
        { expr: limit, legend: "{{sink}}: limit" },
      ],
    }),
    graph({
      title: "Queue fill",
      description: "Share of each queue in use. Beyond 1, on_full applies: the oldest leave, or senders are refused.",
      unit: "percentunit",
      width: 12,
      queries: [{ expr: `${queue} / ${limit}`, legend: "{{sink}}" }],
      thresholds: [[null, CALM], [0.5, WARN], [0.8, BAD]],
    }),
    bySink(
      "Oldest item",
      "Age of the oldest item that a sink has not taken.",
      "s",
      max(select("braid_sink_oldest_seconds"), "sink"),
    ),
    bySink(
      "Consecutive failures",
      "Failures since a sink's last success; 0 is healthy.",
      "short",
      max(select("braid_sink_consecutive_failures"), "sink"),
    ),
    graph({
      title: "Retries and bisections",
      description: "Requests a second that were sent again, and refused requests cut in two to find the bad item.",
      unit: "reqps",
      width: 8,
      queries: [
        { expr: sum(rate(select("braid_sink_retries_total")), "sink"), legend: "{{sink}}: retries" },
        { expr: sum(rate(select("braid_sink_bisections_total")), "sink"), legend: "{{sink}}: bisections" },
      ],
    }),
    bySink("Requests", "Requests a second to each sink, repetitions included.", "reqps",
      sum(rate(select("braid_sink_requests_total")), "sink")),
    bySink("Bytes sent", "Bytes of telemetry a second that each sink took, before compression.", "Bps",
      sum(rate(select("braid_sink_sent_bytes_total")), "sink")),
    bySink("Under way", "Requests to each sink that have no answer yet.", "short",
      sum(select("braid_sink_requests_in_flight"), "sink")),
  ];
}
