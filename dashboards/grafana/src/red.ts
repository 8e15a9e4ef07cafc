// Rate, errors and duration of the requests that services serve, in a dialect's names.

import type { Dialect } from "./dialect.js";
import { increase, orZero, present, quantile, RANGE, rate, ratio, RATE, select, sum } from "./promql.js";

const FAILED = 'status_code="STATUS_CODE_ERROR"';

/** Requests are what a service serves: calls that it answers and messages that it consumes. */
export const SERVED = 'span_kind=~"SPAN_KIND_(SERVER|CONSUMER)"';

/** The queries of one selection of spans. Each result has the labels of `by`. */
export class Red {
  constructor(
    private readonly dialect: Dialect,
    private readonly matchers: string[],
    readonly by: string[],
  ) {}

  private calls(...more: string[]): string {
    return select(this.dialect.calls, ...this.matchers, ...more);
  }

  private buckets(range: string): string {
    const selector = select(`${this.dialect.latency}_bucket`, ...this.matchers);
    return sum(`rate(${selector}[${range}])`, "le", ...this.by);
  }

  /** Requests a second. */
  rate(): string {
    return sum(rate(this.calls()), ...this.by);
  }

  failedRate(): string {
    return orZero(sum(rate(this.calls(FAILED)), ...this.by), this.rate());
  }

  errorRatio(): string {
    return ratio(sum(rate(this.calls(FAILED)), ...this.by), this.rate());
  }

  quantile(q: number): string {
    return quantile(q, this.buckets(RATE));
  }

  /** For a heatmap: requests a second by bucket. */
  heat(): string {
    return this.buckets(RATE);
  }

  // The same over the time shown, for tables.

  count(): string {
    return sum(increase(this.calls()), ...this.by);
  }

  failedCount(): string {
    return sum(increase(this.calls(FAILED)), ...this.by);
  }

  meanRate(): string {
    return `${this.count()} / $__range_s`;
  }

  errorRatioOverRange(): string {
    return ratio(this.failedCount(), this.count());
  }

  /** increase() and rate() give the same quantile; the former may stand in tables with $__range. */
  quantileOverRange(q: number): string {
    const selector = select(`${this.dialect.latency}_bucket`, ...this.matchers);
    return present(quantile(q, sum(`increase(${selector}[${RANGE}])`, "le", ...this.by)));
  }
}
