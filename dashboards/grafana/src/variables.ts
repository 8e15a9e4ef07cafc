// Template variables. Data sources are variables, so that the dashboards can be imported as they are; `job` and
// `instance` say which Braids are looked at, and every query has them.

import type * as cog from "@grafana/grafana-foundation-sdk/cog";
import type * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

export type Variable = cog.Builder<dashboard.VariableModel>;

export const PROMETHEUS: common.DataSourceRef = { type: "prometheus", uid: "${prometheus_datasource}" };
export const LOKI: common.DataSourceRef = { type: "loki", uid: "${loki_datasource}" };
export const TEMPO: common.DataSourceRef = { type: "tempo", uid: "${tempo_datasource}" };

export type Source = "prometheus" | "loki" | "tempo";

export function dataSource(type: Source): Variable {
  const label = type.charAt(0).toUpperCase() + type.slice(1);
  return new dashboard.DatasourceVariableBuilder(`${type}_datasource`).label(`${label} data source`).type(type);
}

interface Choice {
  name: string;
  label: string;
  /** What is chosen from: `label_values(metric, label)`. */
  query: string;
  /** Several at once, with All standing for `all`. */
  all?: string;
}

export function choice(c: Choice): Variable {
  const variable = new dashboard.QueryVariableBuilder(c.name)
    .label(c.label)
    .datasource(PROMETHEUS)
    .query(c.query)
    .options([])
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .multi(c.all !== undefined)
    .includeAll(c.all !== undefined);
  if (c.all !== undefined) variable.allValue(c.all).current({ selected: true, text: ["All"], value: ["$__all"] });
  return variable;
}

/** `job` and `instance`, of those that have `metric`. */
export function instances(metric: string): Variable[] {
  return [
    choice({ name: "job", label: "Job", query: `label_values(${metric}, job)`, all: ".+" }),
    choice({
      name: "instance",
      label: "Instance",
      query: `label_values(${metric}{job=~"$job"}, instance)`,
      all: ".+",
    }),
  ];
}

/** A list of fixed values, the first of which is chosen. */
export function fixed(name: string, label: string, values: string[]): Variable {
  const options = values.map((value, index) => ({ text: value, value, selected: index === 0 }));
  return new dashboard.CustomVariableBuilder(name)
    .label(label)
    .values(values.join(","))
    .options(options)
    .current(options[0]!);
}
