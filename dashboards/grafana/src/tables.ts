// Tables: a query per column, all asked for one moment, put side by side where their labels agree.

import * as common from "@grafana/grafana-foundation-sdk/common";
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as table from "@grafana/grafana-foundation-sdk/table";

import { type About, instantQuery, type Link, type Panel, refId, type Unit } from "./panels.js";
import { PROMETHEUS } from "./variables.js";

/** A label that says what a row is of. */
export interface Key {
  label: string;
  header: string;
  links?: Link[];
  /** What an absent label means. */
  absent?: string;
}

export interface Column {
  header: string;
  expr: string;
  unit: Unit;
  decimals?: number;
  thresholds?: [number | null, string][];
  links?: Link[];
  /** Names and colours of values: {0: ["no", "red"]}. */
  names?: Record<number, [string, string]>;
  /** What is not above `to` is known no better than that. */
  below?: { to: number; text: string } | undefined;
}

export interface Table extends Omit<About, "unit" | "decimals" | "links"> {
  keys: Key[];
  columns: Column[];
  /** A header; the largest first, or with `ascending` the smallest. */
  sortBy: string;
  ascending?: boolean;
}

export function rows(t: Table): Panel {
  // Grafana calls the value of a table's only query "Value", and those of several "Value #A", "Value #B", ...
  const value = (index: number) => (t.columns.length === 1 ? "Value" : `Value #${refId(index)}`);
  const order = [...t.keys.map((key) => key.label), ...t.columns.map((_, index) => value(index))];
  const headers = [...t.keys, ...t.columns].map((column) => column.header);
  const panel = new table.PanelBuilder()
    .title(t.title)
    .description(t.description)
    .datasource(PROMETHEUS)
    .unit("short")
    .cellOptions({ type: common.TableCellDisplayMode.Auto })
    .span(t.width)
    .height(t.height ?? 9)
    .cellHeight(common.TableCellHeight.Sm)
    .sortBy([new common.TableSortByFieldStateBuilder().displayName(t.sortBy).desc(!t.ascending)])
    .targets(t.columns.map((column, index) => instantQuery(column.expr, refId(index))))
    .transformations([
      { id: "merge", options: {} },
      { id: "filterFieldsByName", options: { include: { names: order } } },
      {
        id: "organize",
        options: {
          excludeByName: {},
          indexByName: Object.fromEntries(order.map((name, index) => [name, index])),
          renameByName: Object.fromEntries(order.map((name, index) => [name, headers[index]])),
        },
      },
    ]);
  if (t.empty !== undefined) panel.noValue(t.empty);
  for (const key of t.keys) {
    const properties: dashboard.DynamicConfigValue[] = [];
    if (key.links) properties.push({ id: "links", value: key.links });
    if (key.absent) {
      const named = { type: "special", options: { match: "null+nan", result: { text: key.absent, index: 0 } } };
      const empty = { type: "special", options: { match: "empty", result: { text: key.absent, index: 1 } } };
      properties.push({ id: "mappings", value: [named, empty] });
    }
    if (properties.length > 0) panel.overrideByName(key.header, properties);
  }
  for (const column of t.columns) panel.overrideByName(column.header, propertiesOf(column));
  return panel;
}

function propertiesOf(column: Column): dashboard.DynamicConfigValue[] {
  // A cell without a value is a dash, whatever an empty table says.
  const properties: dashboard.DynamicConfigValue[] = [
    { id: "unit", value: column.unit },
    { id: "noValue", value: "\u2013" },
  ];
  if (column.decimals !== undefined) properties.push({ id: "decimals", value: column.decimals });
  if (column.links) properties.push({ id: "links", value: column.links });
  if (column.thresholds) {
    const list = column.thresholds.map(([value, color]) => ({ value, color }));
    properties.push({ id: "thresholds", value: { mode: "absolute", steps: list } });
  }
  if (column.names) {
    const options = Object.fromEntries(
      Object.entries(column.names).map(([value, [text, color]], index) => [value, { text, color, index }]),
    );
    properties.push({ id: "mappings", value: [{ type: "value", options }] });
  }
  if (column.below) {
    const { to, text } = column.below;
    properties.push({ id: "mappings", value: [{ type: "range", options: { from: 0, to, result: { text, index: 0 } } }] });
  }
  if (column.thresholds || column.names) properties.push({ id: "custom.cellOptions", value: { type: "color-text" } });
  return properties;
}
