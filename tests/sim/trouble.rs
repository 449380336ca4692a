//! What goes wrong beside requests, and what producers send meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use odometer::event::Lane;

use super::chance::Chance;
use super::facts::{Fact, FactKind, render};
use super::fault::Fault;
use super::group::Phase;
use super::lane_task::Command;
use super::log::Written;
use super::world::{Recount, State};

/// What a history is like: few kinds of trouble each, so that each gets deep.
pub struct Profile {
    pub workers: usize,
    pub topics: usize,
    pub steps: u64,
    /// Of requests.
    pub call_fault_percent: usize,
    /// How often something else goes wrong where it may.
    pub trouble_percent: usize,
    pub kinds: Vec<Kind>,
    /// Ids are drawn from as many, so that they repeat.
    pub ids: usize,
    /// Of one record.
    pub most_events: usize,
    /// One record in so many holds several.
    pub several_in: usize,
    /// Some processes have hardly any room for their windows.
    pub is_tight: bool,
    /// All have one cache folder, and find each other's journals in it.
    pub shares_cache: bool,
}

/// Groups of faults that come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pause,
    Expel,
    Crash,
    Stop,
    SilentGroup,
    CoordinatorLoss,
    Journal,
    Cut,
    Retention,
    MadeAgain,
    Partition,
    Configuration,
    Restore,
    Roll,
    Recount,
    Garbage,
    Squeeze,
}

const KINDS: &[Kind] = &[
    Kind::Pause,
    Kind::Expel,
    Kind::Crash,
    Kind::Stop,
    Kind::SilentGroup,
    Kind::CoordinatorLoss,
    Kind::Journal,
    Kind::Cut,
    Kind::Retention,
    Kind::MadeAgain,
    Kind::Partition,
    Kind::Configuration,
    Kind::Restore,
    Kind::Roll,
    Kind::Recount,
    Kind::Garbage,
    Kind::Squeeze,
];

/// What the history must do after a trouble.
pub enum Next {
    Nothing,
    Wait(u64),
}

impl Profile {
    pub fn any(chance: &mut Chance) -> Self {
        let mut kinds: Vec<Kind> = KINDS.iter().copied().filter(|_| chance.percent(36)).collect();
        kinds.extend(
            [Kind::Roll, Kind::Roll, Kind::Recount, Kind::Garbage, Kind::Squeeze, Kind::Squeeze]
                .into_iter()
                .filter(|_| chance.one_in(2)),
        );
        // More keys than a window's first table has room for.
        let is_crowded = chance.one_in(3);
        let ids = if is_crowded { chance.between(60, 600) } else { chance.between(5, 60) };
        Self {
            workers: chance.between(1, 3),
            topics: chance.between(1, 2),
            steps: chance.between(800, 4000) as u64,
            call_fault_percent: *chance.pick(&[5, 15, 25, 40]),
            trouble_percent: *chance.pick(&[5, 10, 20]),
            kinds,
            ids,
            most_events: if is_crowded { 14 } else { 4 },
            several_in: if is_crowded { 1 } else { 4 },
            is_tight: is_crowded || chance.one_in(4),
            shares_cache: chance.one_in(2),
        }
    }
}

pub fn rebalance(cooperative: bool) -> Fault {
    if cooperative { Fault::CooperativeRebalance } else { Fault::EagerRebalance }
}

/// A record or a few, among them events that came before.
pub fn produce(state: &mut State, profile: &Profile) {
    let topic = state.chance.below(state.topics.len());
    let partition = state.chance.below(state.topics[topic].partitions.len());
    for _ in 0..state.chance.between(1, 4) {
        if state.chance.one_in(12) {
            state.tally.note(Fault::ControlRecord);
            let log = &mut state.topics[topic].partitions[partition];
            let offset = log.end;
            log.append_control();
            let lane = state.topics[topic].lane(partition as i32);
            state.watch.appended(lane, offset, None);
            continue;
        }
        let facts: Vec<Fact> = facts(state, topic, partition, profile);
        let value = render(state.topics[topic].format, &facts);
        let record = Arc::new(Written { serial: state.next_id(), facts: Arc::new(facts), value });
        let log = &mut state.topics[topic].partitions[partition];
        let offset = log.end;
        log.append(Arc::clone(&record));
        let lane = state.topics[topic].lane(partition as i32);
        state.watch.appended(lane, offset, Some(record));
    }
}

/// Records until the log reaches beyond what is counted.
pub fn append_beyond_ledger(state: &mut State, lane: &Lane) {
    let end = ledger_end(state, lane);
    let topic = state.topic_index(&lane.topic);
    while state.topics[topic].partitions[lane.partition as usize].end <= end {
        append(state, topic, lane);
    }
}

fn append(state: &mut State, topic: usize, lane: &Lane) {
    let facts = vec![Fact::any(&mut state.chance)];
    let value = render(state.topics[topic].format, &facts);
    let record = Arc::new(Written { serial: state.next_id(), facts: Arc::new(facts), value });
    let log = &mut state.topics[topic].partitions[lane.partition as usize];
    let offset = log.end;
    log.append(Arc::clone(&record));
    state.watch.appended(lane.clone(), offset, Some(record));
}

fn facts(state: &mut State, topic: usize, partition: usize, profile: &Profile) -> Vec<Fact> {
    let count = if state.chance.one_in(profile.several_in) {
        state.chance.between(2, profile.most_events)
    } else {
        1
    };
    let mut facts: Vec<Fact> = Vec::with_capacity(count);
    for _ in 0..count {
        let fact = match state.chance.below(6) {
            0 if !facts.is_empty() => {
                state.tally.note(Fault::DuplicateInRecord);
                state.chance.pick(&facts).clone()
            }
            1 | 2 => earlier(state, topic, partition),
            _ => fresh(state, profile),
        };
        if matches!(fact.kind, FactKind::Malformed | FactKind::BadTime) {
            state.tally.note(Fault::Rejected);
        }
        facts.push(fact);
    }
    facts
}

fn fresh(state: &mut State, profile: &Profile) -> Fact {
    let id = state.chance.below(profile.ids) as u16;
    Fact { id, ..Fact::any(&mut state.chance) }
}

/// One of the lane's latest events once more, some of them changed.
fn earlier(state: &mut State, topic: usize, partition: usize) -> Fact {
    let log = &state.topics[topic].partitions[partition];
    let latest: Vec<Fact> = log
        .entries
        .range(log.end.saturating_sub(40)..)
        .flat_map(|(_, entry)| entry.record.facts.iter().cloned())
        .collect();
    if latest.is_empty() {
        return Fact::any(&mut state.chance);
    }
    let mut fact = state.chance.pick(&latest).clone();
    if state.chance.one_in(5) {
        state.tally.note(Fault::ConflictingDuplicate);
        fact.hour = (fact.hour + 1) % 4;
    } else {
        state.tally.note(Fault::Duplicate);
    }
    fact
}

pub fn any(state: &mut State, profile: &Profile) -> Next {
    if profile.kinds.is_empty() {
        return Next::Nothing;
    }
    // Whoever was stopped is woken, some time.
    let paused: Vec<u64> =
        state.processes.iter().filter(|(_, process)| process.is_paused).map(|(id, _)| *id).collect();
    if !paused.is_empty() && state.chance.one_in(3) {
        let id = *state.chance.pick(&paused);
        state.tell(|_| format!("process {id} wakes"));
        state.processes.get_mut(&id).expect("it is there").is_paused = false;
    }
    if state.chance.one_in(3) {
        state.processes.values_mut().for_each(|process| process.room.release());
    }
    match *state.chance.pick(&profile.kinds) {
        Kind::Pause => pause(state),
        Kind::Expel => expel(state),
        Kind::Crash => crash(state),
        Kind::Stop => stop(state),
        Kind::SilentGroup => silence(state),
        Kind::CoordinatorLoss => lose_coordinator(state),
        Kind::Journal => spoil_journal(state),
        Kind::Cut => cut(state),
        Kind::Retention => return retention(state),
        Kind::MadeAgain => make_again(state),
        Kind::Partition => add_partition(state),
        Kind::Configuration => configure(state),
        Kind::Restore => restore(state),
        Kind::Roll => roll(state),
        Kind::Recount => recount(state),
        Kind::Garbage => return garbage(state),
        Kind::Squeeze => squeeze(state),
    }
    Next::Nothing
}

fn some_process(state: &mut State) -> Option<u64> {
    let ids: Vec<u64> = state.processes.keys().copied().collect();
    if ids.is_empty() { None } else { Some(*state.chance.pick(&ids)) }
}

fn pause(state: &mut State) {
    let Some(id) = some_process(state) else { return };
    let process = state.processes.get_mut(&id).expect("it is there");
    if !process.is_paused {
        process.is_paused = true;
        state.tell(|_| format!("process {id} is stopped"));
        state.note(Fault::WorkerPaused);
    }
}

/// Windows give memory back until others have come, which takes its time.
fn squeeze(state: &mut State) {
    let Some(id) = some_process(state) else { return };
    let State { processes, chance, .. } = state;
    if processes.get_mut(&id).expect("it is there").room.squeeze(chance) {
        state.tell(|_| format!("process {id} is short of memory for windows"));
    }
}

fn expel(state: &mut State) {
    let members: Vec<u64> = state.group.members.keys().copied().collect();
    if !members.is_empty() {
        let member = *state.chance.pick(&members);
        state.group.remove(member);
        state.tell(|_| format!("member {member} is expelled"));
        state.note(Fault::SessionExpired);
    }
}

/// Members that nobody is any more.
pub fn expel_ghosts(state: &mut State) {
    let alive: BTreeSet<u64> = state.processes.values().filter_map(|process| process.client.member).collect();
    let ghosts: Vec<u64> =
        state.group.members.keys().copied().filter(|member| !alive.contains(member)).collect();
    for member in ghosts {
        state.group.remove(member);
    }
}

fn crash(state: &mut State) {
    if let Some(id) = some_process(state) {
        state.processes.remove(&id);
        state.tell(|_| format!("process {id} is killed"));
        state.note(Fault::WorkerCrashed);
    }
}

fn stop(state: &mut State) {
    if let Some(id) = some_process(state) {
        state.processes.get_mut(&id).expect("it is there").is_stopping = true;
        state.tell(|_| format!("process {id} is told to stop"));
        state.note(Fault::WorkerStopped);
    }
}

/// Everybody is silent for so long that the group is empty; then commits expire, or an operator
/// resets an offset.
fn silence(state: &mut State) {
    for process in state.processes.values_mut() {
        process.is_paused = true;
    }
    let members: Vec<u64> = state.group.members.keys().copied().collect();
    for member in members {
        state.group.remove(member);
        state.note(Fault::SessionExpired);
    }
    match state.chance.below(3) {
        0 => {
            state.group.commits.clear();
            state.watch.forget_commits();
            state.note(Fault::CommitsExpired);
        }
        1 => {
            let places = state.places();
            let place = *state.chance.pick(&places);
            let offset = state.chance.below(30) as i64;
            let reset = odometer::source::Committed { offset, metadata: Vec::new() };
            state.group.commits.insert(place, reset);
            state.watch.forget_commits();
            state.note(Fault::OffsetReset);
        }
        _ => {}
    }
}

/// Another coordinator takes over and lacks the last commits; it may know no members either.
fn lose_coordinator(state: &mut State) {
    let kept = state.group.past_commits.len();
    if kept == 0 {
        return;
    }
    let back = state.chance.between(1, kept.min(3));
    let commits = state.group.past_commits.split_off(kept - back);
    state.group.commits = commits.into_iter().next().expect("at least one");
    state.watch.forget_commits();
    if state.chance.one_in(2) {
        state.group.members.clear();
        state.group.phase = Phase::Empty;
        state.group.generation = 0;
    }
    state.note(Fault::CommitsLost);
}

fn spoil_journal(state: &mut State) {
    let Some(id) = some_process(state) else { return };
    let mut segments: Vec<_> = fs::read_dir(&state.processes[&id].folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .flat_map(|lane| fs::read_dir(lane.path()).into_iter().flatten().flatten())
        .map(|segment| segment.path())
        .collect();
    segments.sort();
    if segments.is_empty() {
        return;
    }
    // Only what no process holds open is lost: the process goes with it.
    state.processes.remove(&id);
    let segment = state.chance.pick(&segments).clone();
    if state.chance.one_in(2) {
        fs::remove_file(segment).expect("remove a journal's segment");
        state.note(Fault::JournalLost);
        return;
    }
    let mut bytes = fs::read(&segment).expect("read a journal's segment");
    if bytes.is_empty() {
        return;
    }
    let at = state.chance.below(bytes.len());
    if state.chance.one_in(2) {
        bytes.truncate(at);
    } else {
        bytes[at] ^= 0x55;
    }
    fs::write(segment, bytes).expect("write a journal's segment");
    state.note(Fault::JournalDamaged);
}

fn some_partition(state: &mut State) -> (usize, usize) {
    let topic = state.chance.below(state.topics.len());
    let partition = state.chance.below(state.topics[topic].partitions.len());
    (topic, partition)
}

fn cut(state: &mut State) {
    let (topic, partition) = some_partition(state);
    let lane = state.topics[topic].lane(partition as i32);
    let log = &mut state.topics[topic].partitions[partition];
    let lost = state.chance.between(1, 8) as i64;
    let end = (log.end - lost).max(log.start);
    if end == log.end {
        return;
    }
    log.cut(end);
    let from = state.watch.cut_from.entry(lane.clone()).or_insert(end);
    *from = (*from).min(end);
    state.tell(|_| format!("{lane} is cut at {end}"));
    state.note(Fault::LogCut);
}

fn ledger_end(state: &State, lane: &Lane) -> i64 {
    state
        .database
        .counting()
        .iter()
        .filter(|row| row.lane == *lane)
        .map(|row| row.next_offset)
        .max()
        .unwrap_or(0)
}

fn retention(state: &mut State) -> Next {
    let (topic, partition) = some_partition(state);
    let lane = state.topics[topic].lane(partition as i32);
    let end = ledger_end(state, &lane);
    let log = &mut state.topics[topic].partitions[partition];
    let (start, log_end) = (log.start, log.end);
    let to = if state.chance.one_in(2) {
        start + state.chance.below((log_end - start + 1) as usize) as i64
    } else {
        log_end.min(end + state.chance.below(6) as i64)
    };
    log.forget(to);
    state.tell(|_| format!("{lane} starts at {to} now"));
    if to > end {
        state.note(Fault::LogStartMoved);
    }
    Next::Nothing
}

fn make_again(state: &mut State) {
    let (topic, _) = some_partition(state);
    let partitions = state.topics[topic].partitions.len();
    state.topics[topic].make(partitions);
    let name = state.topics[topic].name;
    if state.chance.one_in(2) {
        state.group.commits.retain(|place, _| place.0 != name);
        state.watch.forget_commits();
    }
    state.note(Fault::TopicMadeAgain);
}

fn add_partition(state: &mut State) {
    let (topic, _) = some_partition(state);
    if state.topics[topic].partitions.len() < 3 {
        state.topics[topic].partitions.push(Default::default());
        state.group.rebalance();
        state.note(Fault::PartitionAdded);
    }
}

/// The new configuration comes with the process's next start, which is now for some.
fn configure(state: &mut State) {
    let topic = state.chance.below(state.topics.len());
    let State { variants, chance, .. } = state;
    variants[topic].change(chance);
    state.tell(|state| format!("configuration: {:?}", state.variants[topic]));
    state.note(Fault::ConfigurationChanged);
    crash(state);
}

/// Power goes; the database comes back from a copy that lacks the last ledger rows.
fn restore(state: &mut State) {
    let newer = (state.database.ledger.len() - state.database.collected).min(state.database.ledger.len() / 2);
    if newer == 0 || !state.chance.one_in(2) {
        return;
    }
    state.processes.clear();
    state.calls.retain(|_, call| matches!(call.request, super::world::Request::Commit { .. }));
    let lost = state.chance.between(1, newer.min(4));
    let kept = state.database.ledger.len() - lost;
    let gone = state.database.ledger.split_off(kept);
    if state.chance.one_in(2) {
        for listed in &gone {
            if !state.database.ledger.iter().any(|kept| kept.row.block == listed.row.block) {
                state.database.prepared.remove(&listed.row.block);
            }
        }
    }
    state.database.version += 1;
    state.watch.forget_readers();
    state.note(Fault::LedgerRestored);
}

fn roll(state: &mut State) {
    let tasks: Vec<_> =
        state.processes.values().flat_map(|process| process.lane_tasks.values().cloned()).collect();
    if !tasks.is_empty() {
        let _ = state.chance.pick(&tasks).try_send(Command::Roll);
        state.note(Fault::RollAsked);
    }
}

fn recount(state: &mut State) {
    let (topic, partition) = some_partition(state);
    let lane = state.topics[topic].lane(partition as i32);
    let end = ledger_end(state, &lane);
    if end == 0 {
        return;
    }
    let from = state.chance.below(end as usize) as i64;
    let to = from + 1 + state.chance.below(10) as i64;
    let id = state.next_id();
    state.recounts.push(Recount { id, lane, from, to });
    state.note(Fault::RecountAsked);
}

/// A quarter of an hour goes by, then what is hidden goes.
fn garbage(state: &mut State) -> Next {
    if state.chance.one_in(2) {
        return Next::Wait(900_000);
    }
    let now_ms = state.now_ms;
    let dropped = state.database.collect_garbage(now_ms);
    if dropped > 0 {
        state.note(Fault::GarbageCollected);
    }
    Next::Nothing
}
