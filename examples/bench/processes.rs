//! What the kernel says of a process.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Linux counts in hundredths of a second for whoever reads /proc, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Of all its threads, those that have ended included.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("read CPU time of process {pid}"))?;
    // The second field is the name in brackets and may hold anything.
    let rest = stat.rsplit_once(')').context("read /proc/PID/stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("read /proc/PID/stat")?;
    Ok((user + system) / TICKS_PER_SECOND)
}

/// In KiB: what a process has for itself, and with what it maps of files.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Memory {
    pub own: u64,
    pub total: u64,
}

impl Memory {
    /// `None` where it has ended.
    fn of(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse().ok()
        };
        Some(Self { own: field("RssAnon:")?, total: field("VmRSS:")? })
    }
}

/// The greatest of samples.
pub struct Peak {
    pid: u32,
    next: Instant,
    pub memory: Memory,
}

impl Peak {
    const INTERVAL: Duration = Duration::from_millis(50);

    pub fn new(pid: u32) -> Self {
        Self { pid, next: Instant::now(), memory: Memory::default() }
    }

    pub fn sample(&mut self) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + Self::INTERVAL;
        if let Some(memory) = Memory::of(self.pid) {
            self.memory.own = self.memory.own.max(memory.own);
            self.memory.total = self.memory.total.max(memory.total);
        }
    }
}

/// CPU time of several processes, and of everything on the machine, at one moment.
pub struct Moment {
    pub at: Instant,
    pub cpu: Vec<f64>,
    busy: f64,
}

impl Moment {
    pub fn now(pids: &[u32]) -> anyhow::Result<Self> {
        let cpu = pids.iter().map(|pid| cpu_seconds(*pid)).collect::<anyhow::Result<_>>()?;
        Ok(Self { at: Instant::now(), cpu, busy: busy_seconds()? })
    }

    /// CPU seconds since `before` of what is not among the processes.
    pub fn others_since(&self, before: &Self) -> f64 {
        let own: f64 = self.cpu.iter().zip(&before.cpu).map(|(now, then)| now - then).sum();
        (self.busy - before.busy - own).max(0.0)
    }
}

/// Of all cores: everything but idling and waiting for disks.
fn busy_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat").context("read the machine's CPU time")?;
    let line = stat.lines().next().context("read /proc/stat")?;
    // user, nice, system, idle, iowait, irq, softirq, steal
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].map(|at| ticks.get(at).copied().unwrap_or(0.0));
    Ok(busy.iter().sum::<f64>() / TICKS_PER_SECOND)
}
