//! One contestant reads one topic to its end. What is counted lies between its first record and its
//! last: starting a process or a virtual machine is no part of it, nor is joining a group.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::processes::{Memory, Moment, Peak};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(20);
/// Between two questions to a server, which cost it something.
const ASK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Args)]
pub struct Measure {
    /// Which contestant, e.g. `a`.
    #[arg(long)]
    contestant: String,
    #[arg(long)]
    case: String,
    /// What of the case is another in the base: `organizations=1000`.
    #[arg(long, default_value = "")]
    factor: String,
    #[arg(long)]
    round: u32,
    /// What `odometer simulate --output json` said of the topic.
    #[arg(long)]
    sent: PathBuf,
    #[arg(long)]
    broker: u32,
    #[arg(long)]
    clickhouse: u32,
    /// Where the contestant's own words go.
    #[arg(long)]
    log: PathBuf,
    /// A line is appended.
    #[arg(long)]
    into: PathBuf,
    #[command(subcommand)]
    how: How,
}

#[derive(Subcommand)]
enum How {
    /// A program that says `begin` and `end RECORDS BYTES`, or `end RECORDS -`, on its standard output.
    Program { command: Vec<String> },
    /// odometer: from its first lane on until all events are published.
    Ingest {
        /// Where it answers with metrics.
        #[arg(long)]
        metrics: String,
        command: Vec<String>,
    },
    /// ClickHouse's own engine: from its first messages on until all events are in its table.
    Engine {
        #[arg(long)]
        url: String,
        /// Starts it.
        #[arg(long)]
        start: String,
        /// How many messages it has read.
        #[arg(long)]
        read: String,
        /// How many events it has stored.
        #[arg(long)]
        stored: String,
    },
}

/// Of `odometer simulate`.
#[derive(Deserialize)]
pub struct Sent {
    pub records: u64,
    /// Keys and values.
    pub bytes: u64,
    pub outcomes: Outcomes,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Outcomes {
    pub received: u64,
    pub counted: u64,
    pub duplicate: u64,
    #[serde(default)]
    pub ignored: std::collections::BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Run {
    pub case: String,
    pub factor: String,
    pub contestant: String,
    pub round: u32,
    pub events: u64,
    pub records: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub cpu_seconds: Cpu,
    /// The greatest of the client's samples, in KiB.
    pub memory: Memory,
    /// CPU seconds that went to neither of the three.
    pub others_seconds: f64,
}

/// `client` is zero where ClickHouse is the client.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Cpu {
    pub client: f64,
    pub broker: f64,
    pub clickhouse: f64,
}

impl Sent {
    pub fn read(path: &std::path::Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
    }
}

impl Measure {
    pub fn run(&self) -> anyhow::Result<()> {
        let sent = Sent::read(&self.sent)?;
        let seen = match &self.how {
            How::Program { command } => self.program(command, &sent),
            How::Ingest { metrics, command } => self.ingest(metrics, command, &sent),
            How::Engine { url, start, read, stored } => self.engine(url, start, read, stored, &sent),
        }?;
        let used = |at: usize| seen.end.cpu[at] - seen.begin.cpu[at];
        let is_client = matches!(self.how, How::Engine { .. });
        let run = Run {
            case: self.case.clone(),
            factor: self.factor.clone(),
            contestant: self.contestant.clone(),
            round: self.round,
            events: sent.outcomes.received,
            records: sent.records,
            bytes: sent.bytes,
            seconds: (seen.end.at - seen.begin.at).as_secs_f64(),
            cpu_seconds: Cpu {
                broker: used(0),
                clickhouse: used(1),
                client: if is_client { 0.0 } else { used(2) },
            },
            memory: seen.memory,
            others_seconds: seen.end.others_since(&seen.begin),
        };
        let mut file = OpenOptions::new().create(true).append(true).open(&self.into)?;
        writeln!(file, "{}", serde_json::to_string(&run)?)?;
        let rate = run.events as f64 / run.seconds;
        eprintln!("{} of {}, round {}: {rate:.0} events/s", run.contestant, run.case, run.round);
        Ok(())
    }

    fn program(&self, command: &[String], sent: &Sent) -> anyhow::Result<Seen> {
        let mut child = Running::start(command, Stdio::piped(), File::create(&self.log)?.into())?;
        let pids = [self.broker, self.clickhouse, child.0.id()];
        let output = child.0.stdout.take().context("read the program's output")?;
        let lines = lines(output, |line| Some(line.to_owned()), None);
        let mut watch = Watch::new(child.0.id());
        let begin = watch.until(&pids, || match lines.recv_timeout(LOOK) {
            Ok(line) if line == "begin" => Ok(true),
            Ok(line) => bail!("run {}: it says {line:?}", command[0]),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => bail!("run {}: it has ended", command[0]),
        })?;
        let mut last = String::new();
        let end = watch.until(&pids, || match lines.recv_timeout(LOOK) {
            Ok(line) => {
                last = line;
                Ok(true)
            }
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => bail!("run {}: it has ended", command[0]),
        })?;
        let whole = [format!("end {} {}", sent.records, sent.bytes), format!("end {} -", sent.records)];
        ensure!(whole.contains(&last), "run {}: {last:?}, and not {whole:?}", command[0]);
        child.finish()?;
        Ok(Seen { begin, end, memory: watch.peak.memory })
    }

    fn ingest(&self, metrics: &str, command: &[String], sent: &Sent) -> anyhow::Result<Seen> {
        let mut child = Running::start(command, Stdio::null(), Stdio::piped())?;
        let pids = [self.broker, self.clickhouse, child.0.id()];
        let output = child.0.stderr.take().context("read odometer's log")?;
        let first = |line: &str| line.contains("took lane over").then(|| line.to_owned());
        let lines = lines(output, first, Some(File::create(&self.log)?));
        let mut watch = Watch::new(child.0.id());
        let begin = watch.until(&pids, || match lines.recv_timeout(LOOK) {
            Ok(_) => Ok(true),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => bail!("run odometer: it has ended"),
        })?;
        let (client, url) = (reqwest::Client::new(), format!("http://{metrics}/metrics"));
        let mut asked = Instant::now();
        let end = crate::block_on(async {
            loop {
                watch.look()?;
                // Lines are taken so that the log goes on; after its end nothing more comes.
                while lines.try_recv().is_ok() {}
                if asked.elapsed() >= ASK {
                    asked = Instant::now();
                    let text = client.get(&url).send().await?.error_for_status()?.text().await?;
                    if published(&text) >= sent.outcomes.received {
                        return Moment::now(&pids);
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        })?;
        child.stop()?;
        Ok(Seen { begin, end, memory: watch.peak.memory })
    }

    fn engine(&self, url: &str, start: &str, read: &str, stored: &str, sent: &Sent) -> anyhow::Result<Seen> {
        let pids = [self.broker, self.clickhouse];
        let mut watch = Watch::new(self.clickhouse);
        crate::block_on(async {
            let server = ClickHouse::new(url);
            server.ask(start).await?;
            while server.number(read).await? == 0 {
                watch.look()?;
                tokio::time::sleep(LOOK).await;
            }
            let begin = Moment::now(&pids)?;
            while server.number(stored).await? < sent.outcomes.received {
                watch.look()?;
                tokio::time::sleep(ASK).await;
            }
            Ok(Seen { begin, end: Moment::now(&pids)?, memory: watch.peak.memory })
        })
    }
}

struct Seen {
    begin: Moment,
    end: Moment,
    memory: Memory,
}

/// Samples memory and loses patience.
struct Watch {
    peak: Peak,
    deadline: Instant,
}

impl Watch {
    fn new(pid: u32) -> Self {
        Self { peak: Peak::new(pid), deadline: Instant::now() + PATIENCE }
    }

    fn look(&mut self) -> anyhow::Result<()> {
        self.peak.sample();
        ensure!(Instant::now() < self.deadline, "wait for the end: not there after {PATIENCE:?}");
        Ok(())
    }

    /// The moment at which it has come.
    fn until(
        &mut self,
        pids: &[u32],
        mut has_come: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<Moment> {
        while !has_come()? {
            self.look()?;
        }
        Moment::now(pids)
    }
}

/// Ends with whoever watches it.
struct Running(Child);

impl Running {
    fn start(command: &[String], output: Stdio, errors: Stdio) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors);
        // Where a signal ends this process, the child must not go on, nor take its time to end.
        let end_with_parent = || match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        };
        // SAFETY: between fork and exec nothing is done but that one system call.
        unsafe { command.pre_exec(end_with_parent) };
        Ok(Self(command.spawn().with_context(|| format!("start {program}"))?))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        if self.0.try_wait()?.is_none() {
            // SAFETY: the child has not been waited for, so the pid is still its own.
            unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        }
        self.finish()
    }

    /// Waits until it has ended in order.
    fn finish(&mut self) -> anyhow::Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "run the client: it ended with {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that `choose` takes; all of them go to `log`.
fn lines(
    output: impl std::io::Read + Send + 'static,
    choose: impl Fn(&str) -> Option<String> + Send + 'static,
    mut log: Option<File>,
) -> Receiver<String> {
    let (sender, receiver) = sync_channel(64);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(log) = &mut log {
                let _ = writeln!(log, "{line}");
            }
            // Nobody listens any more once the end was seen; the log is still written.
            if let Some(line) = choose(&line) {
                let _ = sender.send(line);
            }
        }
    });
    receiver
}

/// Events by now published, whatever became of them.
fn published(metrics: &str) -> u64 {
    metrics
        .lines()
        .filter(|line| line.starts_with("odometer_events_total"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
}

pub struct ClickHouse {
    client: reqwest::Client,
    url: String,
}

impl ClickHouse {
    pub fn new(url: &str) -> Self {
        Self { client: reqwest::Client::new(), url: url.to_owned() }
    }

    pub async fn ask(&self, statement: &str) -> anyhow::Result<String> {
        let response = self.client.post(&self.url).body(statement.to_owned()).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "ask ClickHouse: {text}");
        Ok(text)
    }

    async fn number(&self, statement: &str) -> anyhow::Result<u64> {
        let text = self.ask(statement).await?;
        text.trim().parse().with_context(|| format!("ask ClickHouse for a number: {text:?}"))
    }
}
