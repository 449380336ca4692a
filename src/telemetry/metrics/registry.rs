//! Every metric, described once. `docs/operations.md` shows this table, and a metric that is not in
//! it fails the `tidy` test.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Quantiles of a duration, its sum and its count.
    Summary,
}

pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub meaning: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind, labels, meaning }
}

/// Those of counting first, then of reading, then of the API.
pub const METRICS: &[Metric] = &[
    metric(
        "odometer_events_total",
        Kind::Counter,
        &["outcome", "reason"],
        "Events by what became of them, counted when their block is published: counted, duplicate, rejected, ignored.",
    ),
    metric("odometer_blocks_published_total", Kind::Counter, &[], "Blocks that were published."),
    metric("odometer_rolls_published_total", Kind::Counter, &[], "Rolls that replaced smaller blocks."),
    metric(
        "odometer_losses_total",
        Kind::Counter,
        &["topic"],
        "Ranges of offsets that Kafka no longer had when they were to be counted. Ask odometer doctor.",
    ),
    metric(
        "odometer_sessions_ended_total",
        Kind::Counter,
        &[],
        "Times that the process left the group in doubt and joined it again.",
    ),
    metric(
        "odometer_visible_seconds",
        Kind::Summary,
        &[],
        "From the time of a block's latest event until its counts are visible in ClickHouse.",
    ),
    metric("odometer_flush_seconds", Kind::Summary, &[], "Publishing one block: insert, commit, ledger."),
    metric(
        "odometer_decode_batch_seconds",
        Kind::Summary,
        &[],
        "Decoding and counting one batch of records.",
    ),
    metric(
        "odometer_ledger_end_offset",
        Kind::Gauge,
        &["topic", "partition"],
        "The offset up to which a lane is counted and published.",
    ),
    metric(
        "odometer_window_keys",
        Kind::Gauge,
        &["topic", "partition", "place"],
        "Event keys in a lane's de-duplication window, in memory or on disk; some may have left it already.",
    ),
    metric(
        "odometer_window_bytes",
        Kind::Gauge,
        &["topic", "partition", "place"],
        "Bytes of a lane's de-duplication window, in memory or on disk.",
    ),
    metric(
        "odometer_window_hours",
        Kind::Gauge,
        &["topic", "partition"],
        "How long a lane's de-duplication window lasts at the rate of the last five minutes, which is high while a backlog is read, in hours; odometer doctor warns below 24.",
    ),
    metric(
        "odometer_snapshot_load_seconds",
        Kind::Summary,
        &[],
        "Reading all usage of the current month into memory.",
    ),
    metric("odometer_snapshot_reloads_total", Kind::Counter, &[], "Times that all usage was read again."),
    metric(
        "odometer_snapshot_poll_failures_total",
        Kind::Counter,
        &[],
        "Times that the ledger could not be asked for newly published blocks.",
    ),
    metric("odometer_snapshot_published_total", Kind::Counter, &[], "Snapshots that were produced to Kafka."),
    metric(
        "odometer_snapshot_publish_failures_total",
        Kind::Counter,
        &[],
        "Snapshots that could not be produced to Kafka, to be tried again.",
    ),
    metric(
        "odometer_snapshot_pending",
        Kind::Gauge,
        &[],
        "Organizations whose snapshot is still to be produced.",
    ),
    metric(
        "odometer_http_requests_total",
        Kind::Counter,
        &["route", "method", "status"],
        "Requests that were answered.",
    ),
    metric("odometer_http_request_seconds", Kind::Summary, &["route"], "Answering one request."),
    metric("odometer_http_rate_limited_total", Kind::Counter, &[], "Requests that were answered with 429."),
    metric(
        "odometer_http_shed_total",
        Kind::Counter,
        &[],
        "Requests that were refused because too many were under way.",
    ),
    metric(
        "odometer_accounts_damaged",
        Kind::Gauge,
        &[],
        "Organizations of which something stored can't be read; they are left out, and the log says why.",
    ),
    metric(
        "odometer_payments_total",
        Kind::Counter,
        &["outcome"],
        "Payments by what came of them: succeeded, declined, refused (the provider does not take the request), \
         unknown (its answer is lost or still to come), no_payment_method.",
    ),
    metric(
        "odometer_payments_damaged",
        Kind::Gauge,
        &[],
        "Invoices that were due and could not be collected because of what is stored of them; the log says what.",
    ),
    metric(
        "odometer_invoices_unpaid",
        Kind::Gauge,
        &["state"],
        "Open invoices whose payment failed: retried (by the schedule), given-up (left to people).",
    ),
    metric("odometer_invoices_issued_total", Kind::Counter, &[], "Invoices that got their number here."),
    metric(
        "odometer_billing_months_waiting",
        Kind::Gauge,
        &[],
        "Months that are over and not wholly invoiced; the log says what they wait for.",
    ),
    metric(
        "odometer_billing_organizations_failed",
        Kind::Gauge,
        &[],
        "Organizations that could not be billed at the last look; the others were.",
    ),
    metric(
        "odometer_build_info",
        Kind::Gauge,
        &["version"],
        "Always 1; the label tells the version that runs.",
    ),
];

pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// The table of `docs/operations.md`.
#[cfg(test)]
pub fn markdown() -> String {
    let mut table = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        table.push_str(&format!("| `{}` | {kind} | {labels} | {} |\n", metric.name, metric.meaning));
    }
    table
}
