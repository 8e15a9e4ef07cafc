// PromQL put together from parts, so that what must hold for every query is written once: each selector is narrowed by
// the variables `job` and `instance`, rates take $__rate_interval, and averages over the time shown take $__range.

/** The range of a graph's rates: at least four scrapes. */
export const RATE = "$__rate_interval";
/** The time that the dashboard shows. */
export const RANGE = "$__range";

/** Matchers beyond `job` and `instance`, as PromQL has them: `status_code="STATUS_CODE_ERROR"`. */
export function select(metric: string, ...matchers: string[]): string {
  return `${metric}{${['job=~"$job"', 'instance=~"$instance"', ...matchers].join(", ")}}`;
}

export function rate(selector: string): string {
  return `rate(${selector}[${RATE}])`;
}

/** How much a counter grew in the time shown. */
export function increase(selector: string): string {
  return `increase(${selector}[${RANGE}])`;
}

export function sum(expr: string, ...by: string[]): string {
  return aggregate("sum", expr, by);
}

export function max(expr: string, ...by: string[]): string {
  return aggregate("max", expr, by);
}

function aggregate(operator: string, expr: string, by: string[]): string {
  return by.length === 0 ? `${operator}(${expr})` : `${operator} by (${by.join(", ")}) (${expr})`;
}

/** Where `part` is missing and `whole` is there, nothing of the whole is such a part: that is 0, not unknown. */
export function orZero(part: string, whole: string): string {
  return `(${part} or 0 * ${whole})`;
}

/** part / whole, 0 where there is no part, and absent where there is no whole. */
export function ratio(part: string, whole: string): string {
  return `${orZero(part, whole)} / (${whole} > 0)`;
}

/** `buckets` is an aggregation that keeps `le`. Absent where nothing was observed. */
export function quantile(q: number, buckets: string): string {
  return `histogram_quantile(${q}, ${buckets})`;
}

/** Table cells: a quantile of nothing is NaN, which a table would print. */
export function present(expr: string): string {
  return `${expr} >= 0`;
}

/** `to` becomes the value of the label `from`. Series without that label stay as they are. */
export function relabel(expr: string, to: string, from: string): string {
  return `label_replace(${expr}, "${to}", "$1", "${from}", "(.+)")`;
}

/** Every series gets the label. */
export function constantLabel(expr: string, label: string, value: string): string {
  return `label_replace(${expr}, "${label}", "${value}", "", "")`;
}
