//! What long-running commands share: patience at start, and an orderly end.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::failure::Failure;
use crate::clock;
use crate::telemetry::Readiness;

#[cfg(test)]
mod tests;

/// How long a server may take to answer at start. The contract says 60 s; the last attempt may have
/// to run into its own time-out within that.
pub const START_PATIENCE: Duration = Duration::from_secs(45);
/// One attempt to reach a server.
const ATTEMPT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs a service until it ends by itself, or until SIGTERM or SIGINT: then the token is cancelled
/// and the service has `shutdown_timeout` to end. A second signal ends the process at once.
pub async fn until_stopped<F, Running, E>(shutdown_timeout: Duration, run: F) -> Result<(), Failure>
where
    F: FnOnce(CancellationToken) -> Running,
    Running: Future<Output = Result<(), E>>,
    E: Into<Failure>,
{
    let mut signals = Signals::new()?;
    let shutdown = CancellationToken::new();
    let running = run(shutdown.clone());
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return ended.map_err(Into::into),
        name = signals.next() => tracing::info!(signal = name, "stopping"),
    }
    shutdown.cancel();
    tokio::select! {
        ended = tokio::time::timeout(shutdown_timeout, running) => match ended {
            Ok(ended) => ended.map_err(Into::into),
            Err(_) => Err(Failure::failed(format!("stop: not finished within {shutdown_timeout:?}"))
                .hint("nothing is lost: the next start counts on from what was committed")),
        },
        name = signals.next() => Err(Failure::failed(format!("stop: cut short by a second {name}"))),
    }
}

/// Runs a service of its own readiness until it is told to stop.
pub async fn run_service(
    context: &Context,
    start: impl AsyncFnOnce(&Context, &Readiness, CancellationToken) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let readiness = Readiness::default();
    until_stopped(context.config.shutdown_timeout, |shutdown| start(context, &readiness, shutdown)).await
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Tries to reach a server until it answers, the patience of a start has run out (exit 69), or the
/// process is told to stop (`None`). `what` names the server and its address.
pub async fn reach<T, E, F, Attempt>(
    what: &str,
    patience: Duration,
    shutdown: &CancellationToken,
    mut attempt: F,
) -> Result<Option<T>, Failure>
where
    E: Display,
    F: FnMut() -> Attempt,
    Attempt: Future<Output = Result<T, E>>,
{
    let started = clock::instant();
    let mut pause = FIRST_PAUSE;
    loop {
        let left = patience.saturating_sub(started.elapsed()).max(FIRST_PAUSE);
        let tried = tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            tried = tokio::time::timeout(ATTEMPT.min(left), attempt()) => tried,
        };
        let error = match tried {
            Ok(Ok(reached)) => return Ok(Some(reached)),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer within {:?}", ATTEMPT.min(left)),
        };
        if started.elapsed() + pause >= patience {
            return Err(Failure::unreachable(format!("reach {what}: {error}"))
                .hint("start it, or correct its address in the configuration; `odometer validate` checks all of them"));
        }
        tracing::warn!(server = what, error, "not reached, trying again");
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(jittered(pause)) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Half to all of the pause, so that processes that lost the same server do not return as one.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..=1.0))
}
