use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, oneshot};

/// What tasks have ready at about the same time is done in one go.
pub(super) struct Together<T, A> {
    /// At most one thing of each task.
    waiting: Mutex<Vec<Waiting<T, A>>>,
    /// Whoever has it acts for all that wait.
    turn: Turn<()>,
}

struct Waiting<T, A> {
    item: T,
    answer: oneshot::Sender<A>,
}

/// The task that acted for all was given up in the middle of it.
pub(super) struct GivenUp;

/// Something waits so long for others: longer than lanes that finish together are apart, and little
/// beside a flush interval.
const GATHER: Duration = Duration::from_millis(10);

impl<T, A> Default for Together<T, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Turn::default() }
    }
}

impl<T, A: Clone> Together<T, A> {
    /// Does `item` with what others have ready; `act` is given all of it, and what it answers is
    /// everybody's answer.
    pub async fn act<Acting>(&self, item: T, act: impl FnOnce(Vec<T>) -> Acting) -> Result<A, GivenUp>
    where
        Acting: Future<Output = A>,
    {
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push(Waiting { item, answer });
        let turn = async {
            tokio::time::sleep(GATHER).await;
            self.turn.lock().await
        };
        let _turn = tokio::select! {
            biased;
            answer = &mut answered => return answer.map_err(|_| GivenUp),
            turn = turn => turn,
        };
        // Nobody else acts now: either it has been answered, or it still waits.
        if let Ok(answer) = answered.try_recv() {
            return Ok(answer);
        }
        let mut together = mem::take(&mut *self.waiting());
        // Nobody waits for what a task that has ended had ready.
        together.retain(|waiting| !waiting.answer.is_closed());
        let (items, answers): (Vec<T>, Vec<_>) =
            together.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
        let answer = act(items).await;
        for waiting in answers {
            // A receiver that is gone needs no answer; the own one is among those that are there.
            let _ = waiting.send(answer.clone());
        }
        answered.await.map_err(|_| GivenUp)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting<T, A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
