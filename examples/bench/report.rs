//! What was measured, as a table for people, as JSON, and as figures.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;

use crate::chart::{Bar, Chart, short};
use crate::measure::Run;
use crate::visible::Times;

#[derive(Args)]
pub struct Report {
    /// What `measure` wrote, a run a line.
    #[arg(long)]
    runs: PathBuf,
    /// A JSON object: machine, versions, date, load.
    #[arg(long)]
    about: PathBuf,
    /// What `visible` wrote, with the traffic that ran beside it.
    #[arg(long)]
    visible: Option<PathBuf>,
    #[arg(long)]
    out: PathBuf,
}

#[derive(Serialize)]
struct Results {
    about: serde_json::Value,
    runs: Vec<Run>,
    visible: Option<serde_json::Value>,
}

/// Of what was measured several times.
#[derive(Clone, Copy)]
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            odd if odd % 2 == 1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Some(Self { low: values[0], median, high: values[values.len() - 1] })
    }

    fn show(self, write: impl Fn(f64) -> String) -> String {
        format!("{} ({} – {})", write(self.median), write(self.low), write(self.high))
    }
}

const BASE: &str = "base";
/// The factor of a run of the base's topic that stands beside another case's, so that both had the
/// same machine.
const BESIDE: &str = "base";
const CONTESTANTS: [(&str, &str); 5] = [
    ("a", "librdkafka, batch loop, nothing done"),
    ("b", "rust-rdkafka, poll loop, nothing done"),
    ("c", "odometer ingest, everything on"),
    ("d", "ClickHouse's Kafka engine, view"),
    ("e", "Kafka Streams, in-memory store"),
];
const GOALS: [(&str, &str, &str); 4] =
    [("c", "a", "≥ 0.7, aim 0.85"), ("c", "b", "≥ 1.0"), ("c", "d", "≥ 3.5"), ("c", "e", "≥ 4")];
/// What may not fall by too much from one case to another.
const FALLS: [(&str, &str, &str); 2] =
    [("1 M organizations", "1 k organizations", "> 0.5"), ("16 partitions", "1 partition", "≥ 0.9")];
/// In this order they are told.
const ABOUT: [&str; 10] =
    ["date", "machine", "load", "sizes", "odometer", "rust", "librdkafka", "kafka", "java", "clickhouse"];
/// A figure for each: its name, what it is about, and its cases in order, the base among them.
const FIGURES: [(&str, &str, &[&str]); 4] = [
    (
        "organizations",
        "Organizations",
        &["1 k organizations", BASE, "100 k organizations", "1 M organizations"],
    ),
    ("partitions", "Partitions", &["1 partition", BASE, "16 partitions"]),
    ("duplicates", "Duplicates", &["no duplicates", BASE, "20 % duplicates"]),
    ("records", "Kinds of records", &[BASE, "kafka-log", "batch"]),
];
const BASE_LABELS: [(&str, &str); 4] = [
    ("organizations", "10 k organizations"),
    ("partitions", "4 partitions"),
    ("duplicates", "1 % duplicates"),
    ("records", "CloudEvents"),
];

impl Run {
    fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    fn micros(&self, cpu: f64) -> f64 {
        cpu * 1e6 / self.events as f64
    }
}

impl Report {
    pub fn run(&self) -> anyhow::Result<()> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
        };
        let runs = read(&self.runs)?
            .lines()
            .map(|line| serde_json::from_str(line).context("read runs"))
            .collect::<anyhow::Result<Vec<Run>>>()?;
        ensure!(!runs.is_empty(), "read runs: there are none");
        let about = serde_json::from_str(&read(&self.about)?)?;
        let visible = match &self.visible {
            Some(path) => Some(serde_json::from_str(&read(path)?)?),
            None => None,
        };
        let results = Results { about, runs, visible };
        results.print()?;
        std::fs::create_dir_all(&self.out)?;
        std::fs::write(self.out.join("bench.json"), serde_json::to_string_pretty(&results)? + "\n")?;
        for (name, chart) in results.charts() {
            std::fs::write(self.out.join(format!("bench-{name}.svg")), chart.svg())?;
        }
        Ok(())
    }
}

impl Results {
    fn of<'a>(&'a self, case: &'a str, contestant: &'a str) -> impl Iterator<Item = &'a Run> + Clone {
        let is_it = move |run: &&Run| {
            run.case == case && run.contestant == contestant && (case == BASE || run.factor != BESIDE)
        };
        self.runs.iter().filter(is_it)
    }

    /// Round by round: what the first gives, divided by what the second gives.
    fn ratios<'a>(
        first: impl Iterator<Item = &'a Run>,
        second: impl Iterator<Item = &'a Run> + Clone,
        of: impl Fn(&Run) -> f64,
    ) -> Option<Spread> {
        Spread::of(first.filter_map(|run| {
            let other = second.clone().find(|other| other.round == run.round)?;
            Some(of(run) / of(other))
        }))
    }

    /// To the base beside it.
    fn against_base(&self, case: &str) -> Option<Spread> {
        let beside = self.runs.iter().filter(|run| run.case == case && run.factor == BESIDE);
        Self::ratios(self.of(case, "c"), beside, Run::rate)
    }

    /// In the order in which they were measured.
    fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !cases.contains(&run.case.as_str()) {
                cases.push(&run.case);
            }
        }
        cases
    }

    fn print(&self) -> anyhow::Result<()> {
        let about = ABOUT.map(|name| self.about[name].as_str().unwrap_or(name));
        println!("{}.\n", about.join(", "));
        println!("The median of all rounds, in brackets the least and the greatest; all else are medians.\n");
        println!(
            "| case | contestant | events/s | MB/s | CPU µs an event: client | broker | ClickHouse \
             | memory of its own, MiB | in all, MiB | cores that others took |\n|---|---|---|---|---|---|---|---|---|---|"
        );
        for case in self.cases() {
            for (contestant, name) in CONTESTANTS {
                self.print_runs(case, contestant, name);
            }
        }
        println!("\n| ratio, round by round | measured | goal |\n|---|---|---|");
        for (first, second, goal) in GOALS {
            let ratio = Self::ratios(self.of(BASE, first), self.of(BASE, second), Run::rate);
            print_ratio(&format!("base: ({first}) ÷ ({second})"), ratio, goal);
        }
        let client = |run: &Run| run.micros(run.cpu_seconds.client);
        let cpu = Self::ratios(self.of(BASE, "c"), self.of(BASE, "a"), client);
        print_ratio("base: client CPU of (c) ÷ (a)", cpu, "≤ 2.0");
        let logs = Self::ratios(self.of("kafka-log", "c"), self.of("kafka-log", "a"), Run::megabytes);
        print_ratio("kafka-log: (c) ÷ (a) in MB/s", logs, "≥ 0.7");
        let batch = Spread::of(self.of("batch", "c").map(Run::rate));
        if let Some(rate) = batch {
            println!("| batch: events/s of (c) | {} | ≥ 5 M |", rate.show(short_rate));
        }
        for case in self.cases() {
            print_ratio(&format!("(c): {case} ÷ base"), self.against_base(case), "none");
        }
        for (first, second, goal) in FALLS {
            let (first_rate, second_rate) = (self.against_base(first), self.against_base(second));
            if let Some((first_rate, second_rate)) = first_rate.zip(second_rate) {
                let ratio = first_rate.median / second_rate.median;
                println!("| (c): {first} ÷ {second}, each of its base | {ratio:.2} | {goal} |");
            }
        }
        self.print_visible()
    }

    fn print_runs(&self, case: &str, contestant: &str, name: &str) {
        let runs = self.of(case, contestant);
        let median =
            |of: &dyn Fn(&Run) -> f64| Spread::of(runs.clone().map(of)).map_or(0.0, |spread| spread.median);
        let Some(rate) = Spread::of(runs.clone().map(Run::rate)) else { return };
        let mebibytes = |kib: u64| kib as f64 / 1024.0;
        let is_engine = contestant == "d";
        let client = median(&|run| run.micros(run.cpu_seconds.client));
        println!(
            "| {case} | ({contestant}) {name} | {} | {:.0} | {} | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} |",
            rate.show(short_rate),
            median(&Run::megabytes),
            if is_engine { "–".to_owned() } else { format!("{client:.2}") },
            median(&|run| run.micros(run.cpu_seconds.broker)),
            median(&|run| run.micros(run.cpu_seconds.clickhouse)),
            median(&|run| mebibytes(run.memory.own)),
            median(&|run| mebibytes(run.memory.total)),
            median(&|run| run.others_seconds / run.seconds),
        );
    }

    fn print_visible(&self) -> anyhow::Result<()> {
        let Some(visible) = &self.visible else { return Ok(()) };
        let times: Times = serde_json::from_value(visible["times"].clone())?;
        let number = |name: &str| visible[name].as_f64().unwrap_or(0.0);
        println!("\n| appended → visible over HTTP | measured | goal |\n|---|---|---|");
        println!(
            "| at {}/s offered, {}/s achieved, {} probes: p50 | {:.2} s | ≤ 1.5 s |",
            short(number("offered")),
            short(number("achieved")),
            times.probes,
            times.p50 as f64 / 1e3
        );
        println!("| p90 | {:.2} s | none |", times.p90 as f64 / 1e3);
        println!("| p99 | {:.2} s | ≤ 3 s |", times.p99 as f64 / 1e3);
        println!("| greatest | {:.2} s | none |", times.greatest as f64 / 1e3);
        Ok(())
    }

    fn charts(&self) -> Vec<(&'static str, Chart)> {
        let mut charts = Vec::new();
        let rates = CONTESTANTS.iter().filter_map(|(contestant, name)| {
            let rate = Spread::of(self.of(BASE, contestant).map(Run::rate))?;
            Some(Bar {
                label: format!("({contestant}) {}", name.split(',').next().unwrap_or(name)),
                low: rate.low,
                value: rate.median,
                high: rate.high,
                note: format!("{} events/s", short_rate(rate.median)),
                is_marked: *contestant == "c",
            })
        });
        let bars: Vec<Bar> = rates.collect();
        let (title, unit) = ("The same records, read by five".into(), "events/s".into());
        charts.push(("contestants", Chart { title, unit, bars }));
        for (name, title, cases) in FIGURES {
            let bars: Vec<Bar> = cases.iter().filter_map(|case| self.bar(name, case)).collect();
            if bars.len() > 1 {
                let title = format!("{title}: odometer's rate");
                charts.push((name, Chart { title, unit: "÷ base".into(), bars }));
            }
        }
        charts
    }

    /// How a case's rate stands to the base's; of the kinds of records in bytes, which are what they
    /// have in common.
    fn bar(&self, figure: &str, case: &str) -> Option<Bar> {
        let base = BASE_LABELS.iter().find(|(name, _)| *name == figure).map_or(BASE, |(_, label)| *label);
        let rate = Spread::of(self.of(case, "c").map(Run::rate))?;
        let megabytes = Spread::of(self.of(case, "c").map(Run::megabytes))?;
        let is_base = case == BASE;
        let ratio =
            if is_base { Spread { low: 1.0, median: 1.0, high: 1.0 } } else { self.against_base(case)? };
        Some(Bar {
            label: (if is_base { base } else { case }).to_owned(),
            low: ratio.low,
            value: ratio.median,
            high: ratio.high,
            note: format!("{} events/s, {:.0} MB/s", short_rate(rate.median), megabytes.median),
            is_marked: is_base,
        })
    }
}

fn print_ratio(what: &str, ratio: Option<Spread>, goal: &str) {
    if let Some(ratio) = ratio {
        println!("| {what} | {} | {goal} |", ratio.show(|ratio| format!("{ratio:.2}")));
    }
}

fn short_rate(rate: f64) -> String {
    if rate >= 1e6 { format!("{:.2} M", rate / 1e6) } else { format!("{:.0} k", rate / 1e3) }
}
