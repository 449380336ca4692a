//! What `scripts/bench` can't do in a shell: the two consumers that do nothing, the watching of
//! processes while they work, and the figures. `scripts/bench --help` tells what is measured.

mod chart;
mod compare;
mod consume;
mod measure;
mod processes;
mod report;
mod topic;
mod visible;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a topic.
    Topic(topic::Topic),
    /// Say which librdkafka this is.
    Librdkafka,
    /// Read a topic with odometer's own client settings and do nothing with it.
    Consume(consume::Consume),
    /// Watch one contestant read a topic to its end, and append what was seen to a file.
    Measure(measure::Measure),
    /// Hold what was counted against what the generator says.
    Compare(compare::Compare),
    /// Time probes from their acknowledgement by Kafka until HTTP answers with them.
    Visible(visible::Visible),
    /// Make the table, the results' JSON and the figures.
    Report(report::Report),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Topic(topic) => topic.run(),
        What::Librdkafka => {
            println!("{}", rdkafka::util::get_rdkafka_version().1);
            Ok(())
        }
        What::Consume(consume) => consume.run(),
        What::Measure(measure) => measure.run(),
        What::Compare(compare) => compare.run(),
        What::Visible(visible) => visible.run(),
        What::Report(report) => report.run(),
    }
}

/// A runtime for a few requests.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
