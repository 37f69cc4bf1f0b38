package hub

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the hub's figures, in a registry of its own.
type metrics struct {
	registry *prometheus.Registry
	items    *prometheus.CounterVec // result, reason
	records  *prometheus.CounterVec // result, reason
	bytes    *prometheus.CounterVec // via
	dropped  prometheus.Counter
	reports  *prometheus.CounterVec // reason
	signins  *prometheus.CounterVec // result
	requests *prometheus.CounterVec // status
	admits   prometheus.Gauge
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "lensward", Subsystem: "hub", Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		items:    counter("items_total", "Items by result: verified, refused (with the reason) or failed.", "result", "reason"),
		records:  counter("records_total", "Ownership records by result: stored, refused (with the reason) or failed.", "result", "reason"),
		bytes:    counter("received_bytes_total", "Bytes received from devices.", "via"),
		reports:  counter("reports_total", "Misrouted envelopes that viewers reported, by their reason.", "reason"),
		signins:  counter("signins_total", "Attempts to sign in by result.", "result"),
		requests: counter("api_requests_total", "Answers of the viewer API by status.", "status"),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "lensward", Subsystem: "hub", Name: "dropped_messages_total", Help: "Messages of devices that made no sense or could not be handled.",
		}),
	}
	m.admits = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "lensward", Subsystem: "hub", Name: "admits_per_second", Help: "Connects a second that the hub takes itself to admit.",
	})
	m.registry.MustRegister(m.admits, m.items, m.records, m.bytes, m.dropped, m.reports, m.signins, m.requests,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gauge adds a figure that is asked for when it is wanted.
func (m *metrics) gauge(name, help string, f func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Namespace: "lensward", Subsystem: "hub", Name: name, Help: help},
		func() float64 { return float64(f()) }))
}

// count adds a figure that only grows and is asked for when it is wanted.
func (m *metrics) count(name, help string, f func() int) {
	m.registry.MustRegister(prometheus.NewCounterFunc(
		prometheus.CounterOpts{Namespace: "lensward", Subsystem: "hub", Name: name, Help: help},
		func() float64 { return float64(f()) }))
}
