// Reads a remote write request as Prometheus itself does: its generated types, its symbol table, its conversion and
// validation of histograms, its label checks. Prints what it holds as JSON.
//
//	prompb 1|2 < BODY
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

type exemplar struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
	Time   int64             `json:"time"`
}

type series struct {
	Labels    map[string]string `json:"labels"`
	Value     string            `json:"value,omitempty"`
	Histogram string            `json:"histogram,omitempty"`
	Float     bool              `json:"float,omitempty"`
	Stale     bool              `json:"stale,omitempty"`
	Time      int64             `json:"time"`
	Start     int64             `json:"start,omitempty"`
	Exemplars []exemplar        `json:"exemplars"`
	Type      string            `json:"type,omitempty"`
	Help      string            `json:"help,omitempty"`
	Unit      string            `json:"unit,omitempty"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// `names` are those on the wire: making Labels of them sorts them.
func checked(l labels.Labels, names []string) map[string]string {
	if name, duplicate := l.HasDuplicateLabelNames(); duplicate {
		check(fmt.Errorf("label %s occurs twice", name))
	}
	l.Range(func(one labels.Label) {
		if one.Value == "" {
			check(fmt.Errorf("label %s is empty", one.Name))
		}
	})
	if !slices.IsSorted(names) {
		check(fmt.Errorf("labels are not sorted: %v", names))
	}
	return l.Map()
}

func (s *series) sample(v float64, t int64) {
	s.Time, s.Stale, s.Value = t, value.IsStaleNaN(v), fmt.Sprint(v)
}

func (s *series) integer(h *histogram.Histogram, t int64) {
	check(h.Validate())
	s.Time, s.Stale, s.Histogram = t, value.IsStaleNaN(h.Sum), h.String()
}

func (s *series) float(h *histogram.FloatHistogram, t int64) {
	check(h.Validate())
	s.Time, s.Stale, s.Histogram, s.Float = t, value.IsStaleNaN(h.Sum), h.String(), true
}

func read1(raw []byte) []series {
	var request prompb.WriteRequest
	check(request.Unmarshal(raw))
	var all []series
	builder := labels.NewScratchBuilder(0)
	for _, one := range request.Timeseries {
		s := series{Exemplars: []exemplar{}}
		names := []string{}
		for _, label := range one.Labels {
			names = append(names, label.Name)
		}
		s.Labels = checked(one.ToLabels(&builder, nil), names)
		for _, p := range one.Samples {
			s.sample(p.Value, p.Timestamp)
		}
		for _, h := range one.Histograms {
			if h.IsFloatHistogram() {
				s.float(h.ToFloatHistogram(), h.Timestamp)
			} else {
				s.integer(h.ToIntHistogram(), h.Timestamp)
			}
		}
		for _, e := range one.Exemplars {
			held := e.ToExemplar(&builder, nil)
			s.Exemplars = append(s.Exemplars, exemplar{held.Labels.Map(), held.Value, held.Ts})
		}
		all = append(all, s)
	}
	return all
}

func read2(raw []byte) []series {
	var request writev2.Request
	check(request.Unmarshal(raw))
	var all []series
	builder := labels.NewScratchBuilder(0)
	for _, one := range request.Timeseries {
		s := series{Exemplars: []exemplar{}}
		l, err := one.ToLabels(&builder, request.Symbols)
		check(err)
		names := []string{}
		for i := 0; i < len(one.LabelsRefs); i += 2 {
			names = append(names, request.Symbols[one.LabelsRefs[i]])
		}
		s.Labels = checked(l, names)
		for _, p := range one.Samples {
			s.sample(p.Value, p.Timestamp)
			s.Start = p.StartTimestamp
		}
		for _, h := range one.Histograms {
			if h.IsFloatHistogram() {
				s.float(h.ToFloatHistogram(), h.Timestamp)
			} else {
				s.integer(h.ToIntHistogram(), h.Timestamp)
			}
			s.Start = h.StartTimestamp
		}
		for _, e := range one.Exemplars {
			held, err := e.ToExemplar(&builder, request.Symbols)
			check(err)
			s.Exemplars = append(s.Exemplars, exemplar{held.Labels.Map(), held.Value, held.Ts})
		}
		metadata, err := one.ToMetadata(request.Symbols)
		check(err)
		s.Type, s.Help, s.Unit = string(metadata.Type), metadata.Help, metadata.Unit
		all = append(all, s)
	}
	return all
}

func main() {
	body, err := io.ReadAll(os.Stdin)
	check(err)
	raw, err := snappy.Decode(nil, body)
	check(err)
	var all []series
	if os.Args[1] == "1" {
		all = read1(raw)
	} else {
		all = read2(raw)
	}
	for i := range all {
		for j := range all[i].Exemplars {
			if math.IsNaN(all[i].Exemplars[j].Value) {
				check(fmt.Errorf("exemplar without value"))
			}
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(all))
}
