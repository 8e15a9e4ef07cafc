// Tables of alerts, as Prometheus sees them. ALERTS has the state of each, ALERTS_FOR_STATE since when.

import type { Panel } from "./panels.js";
import { type Key, rows } from "./tables.js";

export interface AlertTable {
  title: string;
  description: string;
  height: number;
  /** Which: matchers as PromQL has them. */
  matchers: string[];
  /** What an alert is about, beyond its name and severity. */
  about: Key[];
}

export function alertTable(t: AlertTable): Panel {
  const matchers = t.matchers.join(", ");
  const since = `ALERTS{${matchers}} * ignoring (alertstate) group_left () ALERTS_FOR_STATE{${matchers}}`;
  const by = ["alertname", "severity", "alertstate", ...t.about.map((key) => key.label)];
  return rows({
    title: t.title,
    description: t.description,
    width: 24,
    height: t.height,
    // Where the rules are not loaded it looks just the same.
    empty: "No alert fires, or there are no rules",
    keys: [
      { label: "severity", header: "Severity" },
      { label: "alertname", header: "Alert" },
      { label: "alertstate", header: "State" },
      ...t.about,
    ],
    columns: [{ header: "Since", expr: `1000 * max by (${by.join(", ")}) (${since})`, unit: "dateTimeFromNow" }],
    // "page" comes before "ticket".
    sortBy: "Severity",
    ascending: true,
  });
}
