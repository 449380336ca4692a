//! A panic of what the process can't do without ends it at once: it is a bug, and what goes on without
//! its part would only seem to work.

use std::cell::Cell;
use std::io::{self, Write};
use std::panic;
use std::pin::pin;
use std::process;
use std::sync::Once;

#[cfg(test)]
mod tests;

/// The contract's code for a command that failed.
const EXIT_CODE: i32 = 1;
const MESSAGE: &str = "error: a part of the process has panicked, see above: this is a bug, please report it; nothing \
                       is lost, the next start counts on from what was committed";

thread_local! {
    static IS_VITAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs, on this thread, what the process can't do without: a panic in it ends the process with its
/// message and exit code 1. Nothing is unwound before: a client that waits for its broker when it is
/// dropped would hold up the end, and others would wait for the thread.
pub fn vital<T>(run: impl FnOnce() -> T) -> T {
    end_process_on_panic();
    let _within = Within(IS_VITAL.replace(true));
    run()
}

/// The same for a task, on whichever threads it runs.
pub async fn vital_task<F: Future>(task: F) -> F::Output {
    let mut task = pin!(task);
    std::future::poll_fn(move |context| vital(|| task.as_mut().poll(context))).await
}

/// What the thread did before goes on afterwards.
struct Within(bool);

impl Drop for Within {
    fn drop(&mut self) {
        IS_VITAL.set(self.0);
    }
}

/// The hook that was there tells of the panic first.
fn end_process_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            tell(panic);
            if IS_VITAL.try_with(Cell::get).unwrap_or(false) {
                let _ = writeln!(io::stderr(), "{MESSAGE}");
                process::exit(EXIT_CODE);
            }
        }));
    });
}
