//! Metrics of the whole process, for Prometheus. Any room counts with the macros of `metrics`, by a
//! name that stands in the registry.

mod latency;
mod registry;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SetRecorderError, SharedString, Unit,
    describe_counter, describe_gauge, gauge,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::clock;
use latency::Latencies;

pub use registry::{Kind, METRICS, Metric};

#[derive(Debug, thiserror::Error)]
#[error("start metrics: {0}")]
pub struct MetricsError(String);

/// Writes the metrics of this process in Prometheus' text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Starts collecting for the whole process; once.
pub fn start() -> Result<RenderMetrics, MetricsError> {
    let collector = Collector::new();
    let render = collector.render();
    ::metrics::set_global_recorder(collector)
        .map_err(|error: SetRecorderError<_>| MetricsError(error.to_string()))?;
    describe();
    Ok(render)
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.meaning),
            Kind::Gauge => describe_gauge!(metric.name, metric.meaning),
            // Latencies are written with their meaning from the registry.
            Kind::Summary => {}
        }
    }
    gauge!("odometer_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Counters and gauges as the exporter keeps them; latencies in histograms of high dynamic range,
/// whose quantiles are exact to one percent without buckets chosen beforehand.
struct Collector {
    prometheus: PrometheusRecorder,
    latencies: Arc<Latencies>,
}

impl Collector {
    fn new() -> Self {
        let prometheus = PrometheusBuilder::new().build_recorder();
        Self { prometheus, latencies: Arc::default() }
    }

    fn render(&self) -> RenderMetrics {
        let (prometheus, latencies) = (self.prometheus.handle(), self.latencies.clone());
        Arc::new(move || {
            let mut text = prometheus.render();
            latencies.render(clock::instant(), &mut text);
            text
        })
    }
}

impl Recorder for Collector {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.prometheus.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.prometheus.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let labels = key.labels().map(|label: &Label| (label.key().to_owned(), label.value().to_owned()));
        Histogram::from_arc(self.latencies.of(key.name(), labels.collect()))
    }
}
