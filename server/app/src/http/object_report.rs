//! How the object store does, for people and as metrics.

use std::fmt::Result;

use chrono::{DateTime, SecondsFormat, Utc};
use ochre_store::object::{Failing, KindCounts, Meter, SECONDS};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Value, json};

/// When a store began to fail, as text.
pub fn since(failing: &Failing) -> String {
    let millis = i64::try_from(failing.since_millis).unwrap_or(i64::MAX);
    let since: Option<DateTime<Utc>> = DateTime::from_timestamp_millis(millis);
    since.map_or_else(|| "-".to_owned(), |since| since.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// What everybody may know of a failing store.
pub fn public(failing: &Failing) -> String {
    format!("the object store does not answer since {}: it is tried again and again", since(failing))
}

/// The state as JSON.
pub fn json(meter: &Meter) -> Value {
    let failing = meter.failing();
    let (requests, failures, retries) = sums(&meter.counts());
    json!({
        "failing_since": failing.as_ref().map(since),
        "error": failing.map(|failing| failing.error),
        "requests": requests,
        "failures": failures,
        "retries": retries,
    })
}

/// Requests, failures and retries of all kinds.
pub fn sums(counts: &[KindCounts]) -> (u64, u64, u64) {
    counts.iter().fold((0, 0, 0), |(requests, failures, retries), kind| {
        (requests + kind.requests, failures + kind.failures, retries + kind.retries)
    })
}

type Read = fn(&KindCounts) -> u64;

/// Counters of each kind of requests.
const COUNTERS: [(&str, &str, Read); 3] = [
    ("object_store_requests", "Requests sent to the object store, retries included", |counts| counts.requests),
    ("object_store_failures", "Requests to the object store that failed", |counts| counts.failures),
    ("object_store_retries", "Requests that were sent to the object store again", |counts| counts.retries),
];

/// A histogram that was counted elsewhere.
struct Times<'a>(&'a KindCounts);

impl EncodeMetric for Times<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result {
        let bounds = SECONDS.into_iter().chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.0.within).collect();
        encoder.encode_histogram::<NoLabelSet>(self.0.seconds, self.0.requests, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// The state as metrics.
pub fn encode(meter: &Meter, encoder: &mut DescriptorEncoder<'_>) -> Result {
    let counts = meter.counts();
    for (name, help, read) in COUNTERS {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for counts in &counts {
            ConstCounter::new(read(counts)).encode(metric.encode_family(&[("kind", counts.kind.name())])?)?;
        }
    }
    let help = "Time until the object store answered";
    let mut metric = encoder.encode_descriptor("object_store_request_seconds", help, None, MetricType::Histogram)?;
    for counts in &counts {
        Times(counts).encode(metric.encode_family(&[("kind", counts.kind.name())])?)?;
    }
    let (sent, received) = meter.bytes();
    for (name, help, value) in [
        ("object_store_sent_bytes", "Bytes of objects sent to the object store", sent),
        ("object_store_received_bytes", "Bytes of objects received from the object store", received),
        (
            "object_store_denied_retries",
            "Requests that failed and were not sent again, as too many had been",
            meter.denied_retries(),
        ),
    ] {
        ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
    }
    let lasting = meter.failing().map_or(0, |failing| failing.lasting.as_secs().max(1));
    let help = "Time since when the object store has answered nothing; 0 while it answers";
    let metric = encoder.encode_descriptor("object_store_failing_seconds", help, None, MetricType::Gauge)?;
    ConstGauge::new(lasting).encode(metric)
}
