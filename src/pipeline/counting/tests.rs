use super::*;
use crate::dedup::{Cache, CacheSettings};
use crate::event::{Format, HOUR_MS, Lane, NoHeaders, Record, Rules};
use crate::flush::TenureEnded;
use crate::source::CommitError;

/// Far longer than what is waited for takes, so that only a loss of it ends the wait.
const LONG: Duration = Duration::from_secs(60);

struct World {
    cache: Cache,
    thread: CountingThread,
    failures: Receiver<Failure>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(flush_interval: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = CacheSettings { dir: dir.path().to_owned(), memory: 1 << 20, budget: 1 << 20 };
        let (failed, failures) = sync_channel(1);
        let common = Common {
            member: thread::current(),
            beat: Beat::new(flush_interval, instant()),
            block_room: Arc::new(AtomicUsize::new(usize::MAX)),
            failures: failed,
        };
        let thread = CountingThread::start(0, common).unwrap();
        Self { cache: Cache::open(&settings).unwrap(), thread, failures, _dir: dir }
    }

    /// Opens a lane that has counted one record; where its blocks come.
    fn open(&mut self, slot: usize) -> mpsc::Receiver<ClosedBlock> {
        let (blocks, published) = mpsc::channel(1);
        let counter = self.counter(slot);
        self.thread.open(slot, counter, blocks);
        published
    }

    /// Of a lane that has counted one record.
    fn counter(&self, slot: usize) -> LaneCounter {
        let lane = Lane { topic: "events".into(), topic_id: "".into(), partition: slot as i32 };
        let rules = Rules {
            format: Format::Cloudevents,
            organization: None,
            region: None,
            default_region: "us".into(),
            meters: Vec::new(),
            dedup_window: 8,
            accept_past_ms: HOUR_MS,
            accept_future_ms: HOUR_MS,
            max_event_bytes: 1 << 20,
        };
        let mut counter = LaneCounter::from_start(&lane, &rules, &self.cache).unwrap();
        let record = Record {
            topic: "events",
            partition: lane.partition,
            offset: 0,
            timestamp_ms: Some(0),
            key: None,
            value: None,
            headers: &NoHeaders,
        };
        counter.take(&record, 0).unwrap();
        counter
    }

    fn say(&self, event: LaneEvent) {
        self.thread.events().blocking_send(event).unwrap();
    }

    fn failure(&mut self) -> Option<Failure> {
        self.failures.recv_timeout(LONG).ok()
    }
}

fn ended(slot: usize) -> LaneEvent {
    let cause = CommitError::Refused("not this one".into());
    LaneEvent::Ended { slot, cause: TenureEnded { lane: "events[0]".into(), cause } }
}

#[test]
fn a_lane_takes_no_records_that_were_polled_before_it_was_opened() {
    let lane = || ("events".to_owned(), 3);
    let by_partition = HashMap::from([(lane(), 5)]);
    assert_eq!(slot_at(&by_partition, lane(), 6), Some(5));
    assert_eq!(slot_at(&by_partition, lane(), 5), None, "the sixth lane was opened after the poll");
    assert_eq!(slot_at(&by_partition, ("events".to_owned(), 4), 6), None);
}

#[test]
fn a_tenure_that_ends_as_soon_as_its_lane_is_opened_ends_the_session() {
    for _ in 0..500 {
        let mut world = World::new(LONG);
        let _blocks = world.open(0);
        world.say(ended(0));
        let failure = world.failure().expect("the thread knows the lane");
        assert_eq!(failure.lane, ("events".to_owned(), 0));
        assert!(matches!(failure.error, IngestError::TenureEnded(_)), "{}", failure.error);
        world.thread.end();
    }
}

#[test]
fn what_is_said_of_a_lane_that_was_given_up_ends_nothing() {
    let mut world = World::new(LONG);
    let mut given_up = world.open(0);
    assert!(given_up.blocking_recv().is_some(), "its first block");
    world.thread.release(vec![0], instant()).wait();
    assert!(given_up.blocking_recv().is_none(), "nothing of it is published any more");
    world.say(ended(0));
    world.thread.make_room().wait();
    let World { thread, failures, .. } = world;
    thread.end();
    assert!(failures.recv().is_err());
}

#[test]
fn an_orderly_end_publishes_what_is_counted_and_waits_for_it() {
    let mut world = World::new(LONG);
    let mut blocks = world.open(0);
    let drained = world.thread.drain(instant() + LONG);
    let block = blocks.blocking_recv().expect("what was counted").finish();
    assert_eq!((block.first, block.next), (0, 1));
    assert!(drained.0.try_recv().is_err(), "it is not published yet");
    world.say(LaneEvent::Published { slot: 0 });
    drained.wait();
    world.thread.end();
}

#[test]
fn a_lane_is_given_up_when_what_it_counted_is_published() {
    let mut world = World::new(LONG);
    let (mut given_up, _other) = (world.open(0), world.open(1));
    let released = world.thread.release(vec![0], instant() + LONG);
    assert!(given_up.blocking_recv().is_some(), "what it counted");
    assert!(released.0.try_recv().is_err(), "it is not published yet");
    world.say(LaneEvent::Published { slot: 0 });
    released.wait();
    assert!(given_up.blocking_recv().is_none());
    world.say(ended(1));
    assert_eq!(world.failure().expect("the other is still counted").lane.1, 1);
    world.thread.end();
}

#[test]
fn a_lane_s_first_block_is_due_at_once() {
    let mut world = World::new(LONG);
    assert!(world.open(0).blocking_recv().is_some());
    world.thread.end();
}

#[test]
fn other_blocks_are_due_at_the_next_beat() {
    let world = World::new(Duration::from_millis(1));
    let (blocks, mut published) = mpsc::channel(1);
    let (counter, pace) = (world.counter(0), Pace::default());
    let slot = Slot { counter, blocks, publishing: None, opened: instant(), is_first: false, pace };
    world.thread.tell(Word::Open(0, Box::new(slot)));
    assert!(published.blocking_recv().is_some());
    world.thread.end();
}
