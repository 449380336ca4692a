use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::*;

/// A member whose commits wait for the test's answer.
struct Scripted {
    is_lost: AtomicBool,
    generation: AtomicI32,
    topic_id: Mutex<String>,
    /// What happens while the topic's id is looked up.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    asked: Mutex<SyncSender<i64>>,
    answers: Mutex<Receiver<Result<(), ErrorCode>>>,
}

impl Member for Scripted {
    fn is_assignment_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    fn membership(&self) -> (String, i32) {
        let generation = self.generation.load(Ordering::SeqCst);
        (if generation < 0 { String::new() } else { "member".into() }, generation)
    }

    fn topic_id(&self, _: &str) -> Result<Option<String>, String> {
        if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile();
        }
        Ok(Some(self.topic_id.lock().unwrap().clone()))
    }

    fn commit(&self, _: &str, _: i32, offset: i64, _: &str) -> Result<(), ErrorCode> {
        self.asked.lock().unwrap().send(offset).unwrap();
        // A commit that no test expects ends the test, where it must not wait for ever.
        let answers = self.answers.lock().unwrap();
        answers.recv_timeout(Duration::from_secs(10)).unwrap_or(Err(ErrorCode::RD_KAFKA_RESP_ERR__TIMED_OUT))
    }
}

type Ends = (Arc<Fence<Scripted>>, Receiver<i64>, SyncSender<Result<(), ErrorCode>>);

fn fence() -> Ends {
    let ((asked, hears), (answers, waits)) = (sync_channel(8), sync_channel(8));
    let member = Scripted {
        is_lost: AtomicBool::new(false),
        generation: AtomicI32::new(3),
        topic_id: Mutex::new("id".into()),
        meanwhile: Mutex::default(),
        asked: Mutex::new(asked),
        answers: Mutex::new(waits),
    };
    (Arc::new(Fence::of(Arc::new(member))), hears, answers)
}

fn tenure(id: u128) -> Tenure {
    let lane = Lane { topic: "events".into(), topic_id: "id".into(), partition: 0 };
    Tenure { lane, token: 1, id }
}

#[test]
fn a_revocation_waits_for_the_commit_under_way() {
    let (fence, asked, answers) = fence();
    fence.hold(&tenure(1));
    let committing = {
        let fence = Arc::clone(&fence);
        thread::spawn(move || fence.commit(&tenure(1), 10, "note"))
    };
    assert_eq!(asked.recv().unwrap(), 10, "the commit is under way");
    let (done, released) = sync_channel(1);
    let releasing = {
        let fence = Arc::clone(&fence);
        thread::spawn(move || {
            fence.release(&[tenure(1).lane]);
            done.send(()).unwrap();
        })
    };
    assert!(released.recv_timeout(Duration::from_millis(100)).is_err(), "the revocation waits");
    assert!(fence.holds(&tenure(1)));
    answers.send(Ok(())).unwrap();
    released.recv().unwrap();
    assert_eq!(committing.join().unwrap(), Ok(()));
    releasing.join().unwrap();
    assert_eq!(fence.commit(&tenure(1), 11, "note"), Err(CommitError::NotHeld));
    assert!(asked.try_recv().is_err(), "nothing is sent once the lane is given up");
}

#[test]
fn a_lane_that_is_given_up_before_the_lock_is_taken_is_not_committed() {
    let (fence, asked, answers) = fence();
    fence.hold(&tenure(1));
    let revoked = Arc::clone(&fence);
    let revoke = Box::new(move || revoked.release(&[tenure(1).lane]));
    *fence.member.meanwhile.lock().unwrap() = Some(revoke);
    answers.send(Ok(())).unwrap();
    assert_eq!(fence.commit(&tenure(1), 10, "note"), Err(CommitError::NotHeld));
    assert!(asked.try_recv().is_err());
}

#[test]
fn only_the_tenure_that_holds_the_lane_commits_it() {
    let (fence, asked, answers) = fence();
    fence.hold(&tenure(1));
    fence.hold(&tenure(2));
    answers.send(Ok(())).unwrap();
    assert_eq!(fence.commit(&tenure(1), 10, "note"), Err(CommitError::NotHeld));
    assert!(asked.try_recv().is_err());
    assert_eq!(fence.commit(&tenure(2), 10, "note"), Ok(()));
}

#[test]
fn a_client_that_the_group_has_expelled_commits_nothing() {
    for (is_lost, generation) in [(true, 3), (false, -1)] {
        let (fence, asked, answers) = fence();
        fence.hold(&tenure(1));
        fence.member.is_lost.store(is_lost, Ordering::SeqCst);
        fence.member.generation.store(generation, Ordering::SeqCst);
        answers.send(Ok(())).unwrap();
        assert_eq!(fence.commit(&tenure(1), 10, "note"), Err(CommitError::NotHeld));
        assert!(asked.try_recv().is_err(), "lost {is_lost}, generation {generation}");
    }
}

#[test]
fn a_topic_that_was_made_again_is_another_log() {
    let (fence, asked, answers) = fence();
    fence.hold(&tenure(1));
    *fence.member.topic_id.lock().unwrap() = "new".into();
    answers.send(Ok(())).unwrap();
    assert_eq!(fence.commit(&tenure(1), 10, "note"), Err(CommitError::TopicRemade));
    assert!(asked.try_recv().is_err());
}

#[test]
fn what_kafka_refused_is_told_from_what_nobody_knows() {
    use ErrorCode as E;
    let answer = |code| {
        let (fence, _asked, answers) = fence();
        fence.hold(&tenure(1));
        answers.send(Err(code)).unwrap();
        fence.commit(&tenure(1), 10, "note").unwrap_err()
    };
    for code in [E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, E::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID] {
        assert!(matches!(answer(code), CommitError::Refused(_)), "{code:?}");
    }
    for code in [E::RD_KAFKA_RESP_ERR__TRANSPORT, E::RD_KAFKA_RESP_ERR__TIMED_OUT] {
        assert!(matches!(answer(code), CommitError::Uncertain(_)), "{code:?}");
    }
}

#[test]
fn a_rebalance_that_is_under_way_is_waited_for() {
    let (fence, asked, answers) = fence();
    fence.hold(&tenure(1));
    answers.send(Err(ErrorCode::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION)).unwrap();
    answers.send(Err(ErrorCode::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS)).unwrap();
    answers.send(Ok(())).unwrap();
    assert_eq!(fence.commit(&tenure(1), 10, "note"), Ok(()));
    assert_eq!(asked.try_iter().count(), 3);
}

#[test]
fn a_revocation_comes_between_the_tries_of_a_commit() {
    let (fence, asked, answers) = fence();
    fence.hold(&tenure(1));
    let committing = {
        let fence = Arc::clone(&fence);
        thread::spawn(move || fence.commit(&tenure(1), 10, "note"))
    };
    asked.recv().unwrap();
    let releasing = {
        let fence = Arc::clone(&fence);
        thread::spawn(move || fence.release(&[tenure(1).lane]))
    };
    answers.send(Err(ErrorCode::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION)).unwrap();
    releasing.join().unwrap();
    fence.hold(&tenure(2));
    assert_eq!(committing.join().unwrap(), Err(CommitError::NotHeld), "not even where it comes back at once");
    assert!(asked.try_recv().is_err());
}
