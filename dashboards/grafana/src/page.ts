// The tables of docs/dashboards.md: every panel with what it asks, of the dashboards as they are in the dialect tempo. They stand
// between marks; the rest of the page is written by hand.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

/** Under dashboards/grafana. */
export const PAGE = "../../docs/dashboards.md";
export const PICTURES = "../../docs/dashboards";

const MARKED = /(<!-- panels of ([\w-]+) -->\n)[^]*?(<!-- end -->)/g;

/** What every query has, and the page writes as an ellipsis. */
const EVERYWHERE = 'job=~"$job", instance=~"$instance"';

interface Target {
  refId?: string;
  expr?: string;
  query?: string;
  legendFormat?: string;
}

type Model = Pick<dashboard.Dashboard, "uid" | "panels">;

/** The dashboards that the page has a place for. */
export function marked(page: string): string[] {
  return [...page.matchAll(MARKED)].map((match) => match[2]!);
}

/** The page with its tables made anew. Marks of what is none of `dashboards` stay as they are. */
export function withTables(page: string, dashboards: Model[]): string {
  return page.replaceAll(MARKED, (all, begin: string, uid: string, end: string) => {
    const one = dashboards.find((candidate) => candidate.uid === uid);
    return one ? begin + tableOf(one) + end : all;
  });
}

function tableOf(one: Model): string {
  const lines = ["", "| Panel | Shows | Asks |", "|---|---|---|"];
  for (const panel of (one.panels ?? []) as dashboard.Panel[]) {
    if (panel.type === "row") {
      lines.push(`| ***${panel.title}*** | | |`);
      continue;
    }
    const targets = (panel.targets ?? []) as Target[];
    const asks = targets.map((target) => named(panel, target) + code(target.expr ?? target.query ?? ""));
    lines.push(`| **${panel.title}** (${panel.type}${unitOf(panel)}) | ${cell(panel.description ?? "")} | ${asks.join("<br>")} |`);
  }
  return lines.join("\n") + "\n\n";
}

function unitOf(panel: dashboard.Panel): string {
  const unit = panel.fieldConfig?.defaults?.unit;
  return panel.type === "table" || unit === undefined || unit === "none" || unit === "string" ? "" : `, ${unit}`;
}

/** A query's column, its line, or which of a node graph's tables it fills. */
function named(panel: dashboard.Panel, target: Target): string {
  const organize = panel.transformations?.find(({ id }) => id === "organize");
  const headers = (organize?.options as { renameByName?: Record<string, string> } | undefined)?.renameByName ?? {};
  const name =
    headers[`Value #${target.refId}`] ?? headers["Value"] ??
    (panel.type === "nodeGraph" ? target.refId : panel.type === "timeseries" ? target.legendFormat : undefined);
  return name ? `${cell(name)}: ` : "";
}

function code(query: string): string {
  return "`" + cell(query.replaceAll(EVERYWHERE, "…")) + "`";
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
