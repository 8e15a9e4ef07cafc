// The kinds of panels that the dashboards are made of. A panel cannot be made without a title, a description and a
// unit; what else it has in common with the others of its kind is decided here.

import type * as cog from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as heatmap from "@grafana/grafana-foundation-sdk/heatmap";
import * as logs from "@grafana/grafana-foundation-sdk/logs";
import * as loki from "@grafana/grafana-foundation-sdk/loki";
import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

import { LOKI, PROMETHEUS } from "./variables.js";

export type Panel = cog.Builder<dashboard.Panel>;

/** Grafana's names of the units that are in use here. */
export const UNITS = [
  "none", "locale", "short", "percentunit", "s", "ms", "bytes", "Bps", "reqps", "cps", "string", "dateTimeFromNow",
] as const;
export type Unit = (typeof UNITS)[number];

/** The dashboard's grid is 24 wide. */
export interface About {
  title: string;
  description: string;
  unit: Unit;
  width: number;
  height?: number;
  decimals?: number;
  /** Links of every value; see links.ts. */
  links?: Link[];
  /** Shown instead of "No data". */
  empty?: string;
}

export interface Link {
  title: string;
  url: string;
  targetBlank?: boolean;
}

/** A colour from a value on; the first has no value. */
export interface Step {
  from: number | null;
  color: string;
}

export interface Query {
  expr: string;
  /** {{label}} stands for a label's value. */
  legend?: string;
  exemplar?: boolean;
}

/** The shortest step of graphs: Prometheus' usual scrape interval. */
const MIN_INTERVAL = "15s";

export const CALM = "green";
export const NOTICE = "yellow";
export const WARN = "orange";
export const BAD = "red";

export function steps(...list: [number | null, string][]): dashboard.ThresholdsConfigBuilder {
  return new dashboard.ThresholdsConfigBuilder()
    .mode(dashboard.ThresholdsMode.Absolute)
    .steps(list.map(([value, color]) => ({ value, color })));
}

/** The reference letters of a panel's queries: A, B, ... */
export function refId(index: number): string {
  return String.fromCharCode("A".charCodeAt(0) + index);
}

export function rangeQuery(query: Query, index: number): prometheus.DataqueryBuilder {
  const built = new prometheus.DataqueryBuilder()
    .datasource(PROMETHEUS)
    .expr(query.expr)
    .range()
    .refId(refId(index));
  if (query.legend !== undefined) built.legendFormat(query.legend);
  if (query.exemplar) built.exemplar(true);
  return built;
}

export function instantQuery(expr: string, ref: string): prometheus.DataqueryBuilder {
  return new prometheus.DataqueryBuilder()
    .datasource(PROMETHEUS)
    .expr(expr)
    .instant()
    .format(prometheus.PromQueryFormat.Table)
    .refId(ref);
}

export interface Graph extends About {
  queries: Query[];
  /** Areas on top of each other: for parts of a whole. */
  stacked?: boolean;
  min?: number;
  max?: number;
  /** Lines, and areas beyond them. */
  thresholds?: [number | null, string][];
  /** Colours by legend, where a series means something good or bad. */
  colors?: Record<string, string>;
  /** Names of values: {0: "none"}. */
  names?: Record<number, string>;
  /** Steps between samples, for levels and settings. */
  steps?: boolean;
  calcs?: string[];
}

export function graph(g: Graph): Panel {
  const panel = new timeseries.PanelBuilder()
    .title(g.title)
    .description(g.description)
    .datasource(PROMETHEUS)
    .unit(g.unit)
    .span(g.width)
    .height(g.height ?? 8)
    .interval(MIN_INTERVAL)
    .min(g.min ?? 0)
    // Lines of parts that are 0 would lie on the edge of the part below them.
    .lineWidth(g.stacked ? 0 : 1)
    .fillOpacity(g.stacked ? 60 : 8)
    .showPoints(common.VisibilityMode.Never)
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending))
    .legend(
      legend(g),
    )
    .targets(g.queries.map(rangeQuery));
  if (g.stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group("A"));
  if (g.steps) panel.lineInterpolation(common.LineInterpolation.StepAfter);
  if (g.max !== undefined) panel.max(g.max);
  if (g.decimals !== undefined) panel.decimals(g.decimals);
  if (g.empty !== undefined) panel.noValue(g.empty);
  if (g.names) panel.mappings([valueNames(g.names)]);
  if (g.thresholds) {
    panel
      .thresholds(steps(...g.thresholds))
      .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  for (const [series, color] of Object.entries(g.colors ?? {})) {
    panel.overrideByName(series, [{ id: "color", value: { mode: "fixed", fixedColor: color } }]);
  }
  return withLinks(panel, g.links);
}

/** A table under the graph, which has room for a few rows: where its query makes many series, the largest come first. */
function legend(g: Graph): common.VizLegendOptionsBuilder {
  const calcs = g.calcs ?? ["lastNotNull", "max"];
  const built = new common.VizLegendOptionsBuilder()
    .displayMode(common.LegendDisplayMode.Table)
    .placement(common.LegendPlacement.Bottom)
    .showLegend(true)
    .calcs(calcs);
  const many = g.queries.length === 1 && g.queries[0]!.legend?.includes("{{");
  return many && calcs.includes("max") ? built.sortBy("Max").sortDesc(true) : built;
}

export interface Stat extends About {
  expr: string;
  /** What the value is of; a label's value in {{}}. Without it the title says it. */
  legend?: string;
  thresholds?: [number | null, string][];
  /** Names and colours of values: {0: ["none", "green"]}. */
  names?: Record<number, [string, string]>;
  /** Show the label named in `legend` instead of the value: for versions and hashes. */
  showName?: boolean;
  /** Without a graph in the background, and with a query for one moment. */
  plain?: boolean;
  /** Of the graph in the background, which otherwise shows its least and its highest value, however near they are. */
  min?: number;
  max?: number;
}

export function single(s: Stat): Panel {
  const query = s.plain
    ? new prometheus.DataqueryBuilder().datasource(PROMETHEUS).expr(s.expr).instant().refId("A")
    : rangeQuery({ expr: s.expr }, 0);
  if (s.legend !== undefined) query.legendFormat(s.legend);
  const panel = new stat.PanelBuilder()
    .title(s.title)
    .description(s.description)
    .datasource(PROMETHEUS)
    .unit(s.unit)
    .span(s.width)
    .height(s.height ?? 4)
    .interval(MIN_INTERVAL)
    .graphMode(s.plain ? common.BigValueGraphMode.None : common.BigValueGraphMode.Area)
    .colorMode(common.BigValueColorMode.Value)
    .textMode(s.showName ? common.BigValueTextMode.Name : common.BigValueTextMode.Auto)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .thresholds(steps(...(s.thresholds ?? [[null, CALM]])))
    .withTarget(query);
  if (s.min !== undefined) panel.min(s.min);
  if (s.max !== undefined) panel.max(s.max);
  if (s.decimals !== undefined) panel.decimals(s.decimals);
  if (s.empty !== undefined) panel.noValue(s.empty);
  if (s.names) {
    const options = Object.fromEntries(
      Object.entries(s.names).map(([value, [text, color]], index) => [value, { text, color, index }]),
    );
    panel.mappings([{ type: dashboard.MappingType.ValueToText, options }]);
  }
  return withLinks(panel, s.links);
}

export interface Heatmap extends About {
  /** A query that keeps `le`. */
  expr: string;
  /** What a cell counts. */
  cellUnit: Unit;
}

/** Classic buckets over time, each cell as Prometheus counted it, with exemplars as points. */
export function buckets(h: Heatmap): Panel {
  const panel = new heatmap.PanelBuilder()
    .title(h.title)
    .description(h.description)
    .datasource(PROMETHEUS)
    .unit(h.unit)
    .span(h.width)
    .height(h.height ?? 10)
    .interval(MIN_INTERVAL)
    .calculate(false)
    .color(
      new heatmap.HeatmapColorOptionsBuilder()
        .mode(heatmap.HeatmapColorMode.Scheme)
        // From the background's colour to the strongest, on dark as on light.
        .scheme("YlOrRd")
        .fill("dark-orange")
        .exponent(0.5)
        .steps(64),
    )
    .cellGap(1)
    .cellValues(new heatmap.CellValuesBuilder().unit(h.cellUnit))
    .yAxis(new heatmap.YAxisConfigBuilder().unit(h.unit))
    .exemplarsColor("rgba(255, 0, 255, 0.7)")
    .tooltip(
      new heatmap.HeatmapTooltipBuilder().mode(common.TooltipDisplayMode.Single).yHistogram(true).showColorScale(true),
    )
    .withTarget(
      new prometheus.DataqueryBuilder()
        .datasource(PROMETHEUS)
        .expr(h.expr)
        .range()
        .format(prometheus.PromQueryFormat.Heatmap)
        .legendFormat("{{le}}")
        .exemplar(true)
        .refId("A"),
    );
  return withLinks(panel, h.links);
}

export interface Logs extends Omit<About, "unit"> {
  expr: string;
}

export function logLines(l: Logs): Panel {
  return new logs.PanelBuilder()
    .title(l.title)
    .description(l.description)
    .datasource(LOKI)
    .unit("string")
    .span(l.width)
    .height(l.height ?? 12)
    .showTime(true)
    .wrapLogMessage(true)
    .enableLogDetails(true)
    .showLogContextToggle(true)
    .sortOrder(common.LogsSortOrder.Descending)
    .dedupStrategy(common.LogsDedupStrategy.None)
    .withTarget(new loki.DataqueryBuilder().datasource(LOKI).expr(l.expr).queryType("range").maxLines(100).refId("A"));
}

function valueNames(names: Record<number, string>): dashboard.ValueMapping {
  const options = Object.fromEntries(
    Object.entries(names).map(([value, text], index) => [value, { text, index }]),
  );
  return { type: dashboard.MappingType.ValueToText, options };
}

/** Data links belong to the field configuration. The SDK's type for them is that of dashboard links, so they are put
 *  there when the panel is built. */
function withLinks(panel: Panel, links: Link[] | undefined): Panel {
  if (!links) return panel;
  return {
    build() {
      const built = panel.build();
      const config = (built.fieldConfig ??= { defaults: {}, overrides: [] });
      config.defaults.links = links as unknown as dashboard.DashboardLink[];
      return built;
    },
  };
}
