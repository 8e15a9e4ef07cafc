// See ../README.md.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

type answer struct {
	Status  int               `json:"status"`
	Body    string            `json:"body"`
	Written map[string]string `json:"written"`
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	now := time.Now().UnixMilli()
	start := now - 60_000
	symbols := writev2.NewSymbolTable()
	request := &writev2.Request{}

	series := func(kind writev2.Metadata_MetricType, help, unit string, pairs ...string) *writev2.TimeSeries {
		ls := labels.FromStrings(append(pairs, "job", "shop/cart", "instance", "go:1")...)
		request.Timeseries = append(request.Timeseries, writev2.TimeSeries{
			LabelsRefs: symbols.SymbolizeLabels(ls, nil),
			Metadata:   writev2.Metadata{Type: kind, HelpRef: symbols.Symbolize(help), UnitRef: symbols.Symbolize(unit)},
		})
		return &request.Timeseries[len(request.Timeseries)-1]
	}
	sample := func(value float64, start int64) []writev2.Sample {
		return []writev2.Sample{{Value: value, Timestamp: now, StartTimestamp: start}}
	}
	ids := labels.FromStrings("trace_id", "0af7651916cd43dd8448eb211c80319c", "span_id", "b7ad6b7169203331")

	s := series(writev2.Metadata_METRIC_TYPE_COUNTER, "Orders.", "", "__name__", "orders_total", "kind", "new")
	s.Samples = sample(42, start)
	s.Exemplars = []writev2.Exemplar{{LabelsRefs: symbols.SymbolizeLabels(ids, nil), Value: 1, Timestamp: now - 5}}
	series(writev2.Metadata_METRIC_TYPE_GAUGE, "How hot.", "celsius", "__name__", "room_celsius").Samples = sample(21.5, 0)
	for _, part := range [][]string{{"wait_seconds_bucket", "0.1", "3"}, {"wait_seconds_bucket", "1.0", "7"},
		{"wait_seconds_bucket", "+Inf", "9"}, {"wait_seconds_sum", "", "6.25"}, {"wait_seconds_count", "", "9"}} {
		pairs := []string{"__name__", part[0]}
		if part[1] != "" {
			pairs = append(pairs, "le", part[1])
		}
		var value float64
		must(fmt.Sscan(part[2], &value))
		series(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "Waits.", "seconds", pairs...).Samples = sample(value, start)
	}

	native := &histogram.Histogram{
		Schema: 1, ZeroThreshold: 0.001, ZeroCount: 2, Count: 12, Sum: 18.5,
		PositiveSpans:   []histogram.Span{{Offset: -1, Length: 2}, {Offset: 1, Length: 1}},
		PositiveBuckets: []int64{3, 1, -2},
		NegativeSpans:   []histogram.Span{{Offset: 0, Length: 1}},
		NegativeBuckets: []int64{1},
	}
	if err := native.Validate(); err != nil {
		panic(err)
	}
	series(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "Native.", "", "__name__", "native_int").Histograms =
		[]writev2.Histogram{writev2.FromIntHistogram(start, now, native)}
	whole := native.ToFloat(nil)
	series(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "Native.", "", "__name__", "native_float").Histograms =
		[]writev2.Histogram{writev2.FromFloatHistogram(0, now, whole)}
	custom := &histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, Count: 6, Sum: 9, CustomValues: []float64{0.5, 1, 2.5},
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 3}}, PositiveBuckets: []int64{1, 1, 1},
	}
	series(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "Custom.", "", "__name__", "native_custom").Histograms =
		[]writev2.Histogram{writev2.FromIntHistogram(0, now, custom)}

	if len(os.Args) > 2 && os.Args[2] == "partial" {
		fraction := whole.Copy().Mul(0.3)
		series(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "", "", "__name__", "native_fraction").Histograms =
			[]writev2.Histogram{writev2.FromFloatHistogram(0, now, fraction)}
		bad := series(writev2.Metadata_METRIC_TYPE_GAUGE, "", "", "__name__", "bad_reference")
		bad.LabelsRefs[1] = 10_000
		bad.Samples = sample(1, 0)
	}
	request.Symbols = symbols.Symbols()

	body := snappy.Encode(nil, must(request.Marshal()))
	post := must(http.NewRequest(http.MethodPost, os.Args[1], bytes.NewReader(body)))
	post.Header.Set("Content-Encoding", "snappy")
	post.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	post.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	reply := must(http.DefaultClient.Do(post))
	defer reply.Body.Close()
	result := answer{Status: reply.StatusCode, Body: string(must(io.ReadAll(reply.Body))), Written: map[string]string{}}
	for name := range reply.Header {
		if kind, found := strings.CutPrefix(name, "X-Prometheus-Remote-Write-"); found {
			result.Written[strings.TrimSuffix(kind, "-Written")] = reply.Header.Get(name)
		}
	}
	fmt.Println(string(must(json.Marshal(map[string]any{"answer": result, "time": now, "start": start}))))
}
