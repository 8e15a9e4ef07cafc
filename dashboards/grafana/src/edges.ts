// Requests between services, from the service graph. Its names and its seconds are the same in both dialects.

import { graph } from "./dialect.js";
import { increase, present, quantile, RANGE, rate, ratio, select, sum } from "./promql.js";

/** Whose time counts: the one that answers, or the one that waits for the answer. */
export type Side = "server" | "client";

/** The queries of one selection of edges. Each result has the labels of `by`. */
export class Edges {
  constructor(
    private readonly matchers: string[],
    readonly by: string[],
  ) {}

  private requests(): string {
    return select(graph.requests, ...this.matchers);
  }

  private failed(): string {
    return select(graph.failed, ...this.matchers);
  }

  private seconds(side: Side, suffix: "_sum" | "_count" | "_bucket"): string {
    return select((side === "server" ? graph.serverSeconds : graph.clientSeconds) + suffix, ...this.matchers);
  }

  rate(): string {
    return sum(rate(this.requests()), ...this.by);
  }

  failedRate(): string {
    return sum(rate(this.failed()), ...this.by);
  }

  /** `of` on the `count` connections that have most requests, or failures, over the time shown: the same ones at every step
   *  of a graph. */
  busiest(count: number, of: "requests" | "failures"): string {
    const [each, selector] = of === "requests" ? [this.rate(), this.requests()] : [this.failedRate(), this.failed()];
    return `${each} and on (${this.by.join(", ")}) topk(${count}, ${sum(`increase(${selector}[${RANGE}] @ end())`, ...this.by)})`;
  }

  // Over the time shown, for tables.

  count(): string {
    return sum(increase(this.requests()), ...this.by);
  }

  meanRate(): string {
    return `${this.count()} / $__range_s`;
  }

  errorRatio(): string {
    return ratio(sum(increase(this.failed()), ...this.by), this.count());
  }

  mean(side: Side): string {
    const total = sum(increase(this.seconds(side, "_sum")), ...this.by);
    return `${total} / (${sum(increase(this.seconds(side, "_count")), ...this.by)} > 0)`;
  }

  quantile(q: number, side: Side): string {
    const buckets = sum(`increase(${this.seconds(side, "_bucket")}[${RANGE}])`, "le", ...this.by);
    return present(quantile(q, buckets));
  }
}
