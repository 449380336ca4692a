//! One history: a seed, a few hundred steps, then calm, and what must be true at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use odometer::event::{Format, Lane};
use odometer::source::Start;
use tempfile::TempDir;

use super::check::{self, Cut, Verdict};
use super::fault::Tally;
use super::group::Phase;
use super::log::Topic;
use super::room::Room;
use super::servers;
use super::settings::Variant;
use super::trouble::{self, Profile};
use super::world::{Process, Recount, State, Task, World};
use super::{client, worker};

/// What a history came to.
pub struct Outcome {
    pub tally: Tally,
    pub steps: u64,
    pub simulated_ms: u64,
    pub checks: u64,
    pub uncertain_blocks: u64,
}

/// A history that ended in something that must not be.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: u64,
    pub what: String,
    pub story: Vec<String>,
}

/// Steps until everything must have come to rest.
const CALM_STEPS: u64 = 60_000;

struct Running {
    id: u64,
    process: u64,
    future: Task,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub struct History {
    world: World,
    tasks: Vec<Running>,
    profile: Profile,
    home: TempDir,
    start: Start,
    steps: u64,
}

/// Runs one history; the story is kept where it is `told`.
pub fn run(seed: u64, told: bool) -> Result<Outcome, Box<Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("build a runtime without I/O");
    let mut history = History::new(seed, told);
    let verdict = runtime.block_on(history.go());
    let mut state = history.world.lock();
    match verdict {
        Ok(()) => Ok(Outcome {
            tally: state.tally.clone(),
            steps: history.steps,
            simulated_ms: state.now_ms,
            checks: state.watch.checks,
            uncertain_blocks: state.watch.uncertain_blocks,
        }),
        Err(what) => Err(Box::new(Failure {
            seed,
            step: history.steps,
            what,
            story: state.story.take().unwrap_or_default(),
        })),
    }
}

impl History {
    fn new(seed: u64, told: bool) -> Self {
        let mut state = State::new(seed, told);
        let profile = Profile::any(&mut state.chance);
        let mut formats =
            vec![("events", Format::Cloudevents), ("batches", Format::Batch), ("logs", Format::KafkaLog)];
        state.chance.shuffle(&mut formats);
        formats.truncate(profile.topics);
        for (name, format) in formats {
            let partitions = if profile.topics == 1 { state.chance.between(1, 2) } else { 1 };
            state.topics.push(Topic::new(name, format, partitions));
            let variant = Variant::any(format, &mut state.chance);
            state.variants.push(variant);
        }
        state.group.cooperative = state.chance.percent(60);
        let start = if state.chance.one_in(5) { Start::Latest } else { Start::Earliest };
        let world = World::new(state);
        let home = tempfile::tempdir_in(scratch()).expect("make a folder for journals");
        Self { world, tasks: Vec::new(), profile, home, start, steps: 0 }
    }

    async fn go(&mut self) -> Verdict {
        for number in 0..self.profile.workers {
            self.start_process(number);
        }
        for _ in 0..self.profile.steps {
            self.step().await?;
        }
        self.calm_down();
        while !self.is_at_rest() {
            self.step().await?;
            if self.steps > self.profile.steps + CALM_STEPS {
                return Err(self.stuck());
            }
        }
        self.mend_cuts().await
    }

    /// Everything that may happen next, at random; then what must hold.
    async fn step(&mut self) -> Verdict {
        self.steps += 1;
        let choice = self.world.lock().chance.below(100);
        match choice {
            0..=44 => self.poll_one(),
            45..=69 => self.progress_one(),
            70..=79 => self.client_one(),
            80..=85 => self.group_one(),
            86..=88 => {
                let mut state = self.world.lock();
                if !state.is_calm {
                    trouble::produce(&mut state, &self.profile);
                }
            }
            89..=91 => self.pass_time().await,
            92 => check::read_totals(&mut self.world.lock())?,
            93..=94 => self.restart_some(),
            _ => self.trouble().await,
        }
        self.settle();
        check::check(&mut self.world.lock())
    }

    /// A task of a process that runs goes on to its next await.
    fn poll_one(&mut self) {
        let ready: Vec<usize> = {
            let state = self.world.lock();
            let runs = |task: &&Running| {
                task.flag.0.load(Ordering::Relaxed)
                    && state.processes.get(&task.process).is_some_and(|process| !process.is_paused)
            };
            let tasks = self.tasks.iter().enumerate();
            tasks.filter(|(_, task)| runs(task)).map(|(index, _)| index).collect()
        };
        if ready.is_empty() {
            return;
        }
        let index = *self.world.lock().chance.pick(&ready);
        let task = &mut self.tasks[index];
        task.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.flag));
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.swap_remove(index);
        }
    }

    /// Tasks begin and end as the processes said.
    fn settle(&mut self) {
        let (spawned, aborted, alive) = {
            let mut state = self.world.lock();
            let spawned = std::mem::take(&mut state.spawned);
            let aborted = std::mem::take(&mut state.aborted);
            let alive: Vec<u64> = state.processes.keys().copied().collect();
            (spawned, aborted, alive)
        };
        for (id, process, future) in spawned {
            self.tasks.push(Running { id, process, future, flag: Arc::new(Flag(AtomicBool::new(true))) });
        }
        self.tasks.retain(|task| alive.contains(&task.process) && !aborted.contains(&task.id));
    }

    fn progress_one(&mut self) {
        let mut state = self.world.lock();
        // What was abandoned takes its time.
        let hurry = state.is_calm || state.chance.one_in(8);
        let pending: Vec<u64> = state
            .calls
            .iter()
            .filter(|(_, call)| call.answer.is_none() && !call.is_done && (hurry || !call.is_abandoned))
            .map(|(id, _)| *id)
            .collect();
        if !pending.is_empty() {
            let id = *state.chance.pick(&pending);
            servers::progress(&mut state, id, self.profile.call_fault_percent);
        }
    }

    fn client_one(&mut self) {
        let mut state = self.world.lock();
        let awake: Vec<u64> =
            state.processes.iter().filter(|(_, process)| !process.is_paused).map(|(id, _)| *id).collect();
        if !awake.is_empty() {
            let process = *state.chance.pick(&awake);
            client::step(&mut state, process);
        }
    }

    fn group_one(&mut self) {
        let mut state = self.world.lock();
        let places = state.places();
        let State { group, chance, .. } = &mut *state;
        if group.can_complete_join() {
            group.complete_join(&places, chance);
            let cooperative = group.cooperative;
            state.note(trouble::rebalance(cooperative));
        } else if group.phase == Phase::Completing {
            group.phase = Phase::Stable;
        } else if state.is_calm {
            trouble::expel_ghosts(&mut state);
        }
    }

    async fn pass_time(&mut self) {
        let ms = {
            let mut state = self.world.lock();
            let ms = if state.chance.one_in(5) {
                state.chance.between(1_000, 11_000)
            } else {
                state.chance.between(20, 600)
            };
            state.now_ms += ms as u64;
            ms as u64
        };
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    async fn trouble(&mut self) {
        let long = {
            let mut state = self.world.lock();
            let happens = state.chance.percent(self.profile.trouble_percent);
            if state.is_calm || !happens {
                return;
            }
            trouble::any(&mut state, &self.profile)
        };
        match long {
            trouble::Next::Nothing => {}
            trouble::Next::Wait(ms) => {
                self.world.lock().now_ms += ms;
                tokio::time::advance(Duration::from_millis(ms)).await;
            }
        }
    }

    /// Processes that ended come back, some time.
    fn restart_some(&mut self) {
        let missing: Vec<usize> = {
            let state = self.world.lock();
            let is_there = |number: usize| state.processes.values().any(|process| process.number == number);
            (0..self.profile.workers).filter(|number| !is_there(*number)).collect()
        };
        for number in missing {
            let now = {
                let mut state = self.world.lock();
                state.is_calm || state.chance.one_in(4)
            };
            if now {
                self.start_process(number);
            }
        }
    }

    fn start_process(&mut self, number: usize) {
        let home = self.home.path();
        let home = if self.profile.shares_cache { home.to_owned() } else { home.join(number.to_string()) };
        // The one before must have let go of its folder.
        self.settle();
        let id = {
            let mut state = self.world.lock();
            let id = state.next_id();
            let is_tight = self.profile.is_tight && !state.is_calm && !state.chance.one_in(6);
            let room = if is_tight { Room::tight(&mut state.chance) } else { Room::plenty() };
            let process = Process {
                number,
                home,
                folder: PathBuf::new(),
                room,
                variants: state.variants.clone(),
                is_paused: false,
                is_stopping: false,
                lane_tasks: BTreeMap::new(),
                client: Default::default(),
            };
            state.processes.insert(id, process);
            state.tell(|_| format!("process {id} starts as number {number}"));
            id
        };
        self.world.spawn(id, worker::run(self.world.clone(), id, self.start));
        self.settle();
    }

    fn calm_down(&mut self) {
        let mut state = self.world.lock();
        state.tell(|_| "calm: nothing fails any more".into());
        state.is_calm = true;
        let lanes = current_lanes(&state);
        state.recounts.retain(|recount| lanes.contains(&recount.lane));
        for process in state.processes.values_mut() {
            process.is_paused = false;
            process.room.release();
        }
        let outdated: Vec<u64> = state
            .processes
            .iter()
            .filter(|(_, process)| process.variants != state.variants || !process.room.is_plenty())
            .map(|(id, _)| *id)
            .collect();
        for id in outdated {
            state.processes.remove(&id);
        }
        drop(state);
        self.settle();
        self.restart_some();
    }

    /// Every lane's ledger has reached its log's end.
    fn is_at_rest(&mut self) -> bool {
        if !self.steps.is_multiple_of(16) {
            return false;
        }
        self.restart_some();
        let state = self.world.lock();
        if !state.recounts.is_empty() {
            return false;
        }
        let rows = state.database.counting();
        let is_read = state.topics.iter().all(|topic| {
            topic.lanes().zip(&topic.partitions).all(|(lane, partition)| {
                rows.iter().rfind(|row| row.lane == lane).is_some_and(|row| row.next_offset >= partition.end)
            })
        });
        is_read && losses_are_told(&state).is_ok()
    }

    fn stuck(&self) -> String {
        let state = self.world.lock();
        if let Err(untold) = losses_are_told(&state) {
            return untold;
        }
        let rows = state.database.counting();
        let mut text = String::from("totals do not reach the end of the log:");
        for topic in &state.topics {
            for (lane, partition) in topic.lanes().zip(&topic.partitions) {
                let end = rows.iter().rfind(|row| row.lane == lane).map(|row| row.next_offset);
                text += &format!(" {lane} is counted to {end:?} of {};", partition.end);
            }
        }
        let phases: Vec<_> = state.processes.values().map(|process| process.client.phase).collect();
        text + &format!(" group {:?}, clients {phases:?}, recounts {:?}", state.group.phase, state.recounts)
    }

    /// Counting again makes a lane exact whose log was cut.
    async fn mend_cuts(&mut self) -> Verdict {
        let cuts: Vec<(Lane, i64, i64)> = {
            let state = self.world.lock();
            let start = |lane: &Lane| {
                state.topics[state.topic_index(&lane.topic)].partitions[lane.partition as usize].start
            };
            let cut = |lane: Lane| {
                let cut = state.watch.cut(&state, &lane).filter(|cut| cut.shows)?;
                (start(&lane) == 0).then_some((lane, cut.first, cut.next))
            };
            current_lanes(&state).into_iter().filter_map(cut).collect()
        };
        // What tells of a cut at the ledger's end is replaced once something is counted behind it.
        for (lane, ..) in &cuts {
            trouble::append_beyond_ledger(&mut self.world.lock(), lane);
        }
        while !cuts.is_empty() && !self.is_at_rest() {
            self.step().await?;
            if self.steps > self.profile.steps + 2 * CALM_STEPS {
                return Err(self.stuck());
            }
        }
        for (lane, from, to) in &cuts {
            let mut state = self.world.lock();
            let id = state.next_id();
            state.recounts.push(Recount { id, lane: lane.clone(), from: *from, to: *to });
        }
        let began = self.steps;
        while !cuts.is_empty() && !self.is_at_rest() {
            self.step().await?;
            if self.steps > began + CALM_STEPS {
                return Err(self.stuck());
            }
        }
        let state = self.world.lock();
        for (lane, ..) in cuts {
            if let Some(Cut { first, next, .. }) = state.watch.cut(&state, &lane) {
                return Err(format!(
                    "{lane}: offsets among [{first}, {next}) were counted again and still differ"
                ));
            }
        }
        Ok(())
    }
}

/// What was cut off is told of.
fn losses_are_told(state: &State) -> Verdict {
    for lane in current_lanes(state) {
        let Some(Cut { first, next, shows: true }) = state.watch.cut(state, &lane) else { continue };
        let is_told = state
            .database
            .counting()
            .iter()
            .any(|row| row.lane == lane && !row.loss.is_empty() && row.first_offset >= first);
        if !is_told {
            return Err(format!(
                "{lane}: offsets among [{first}, {next}) were cut off after they were counted, and no ledger row \
                 tells of it"
            ));
        }
    }
    Ok(())
}

fn current_lanes(state: &State) -> Vec<Lane> {
    state.topics.iter().flat_map(Topic::lanes).collect()
}

/// Memory where there is some to write files to: journals are small and many.
fn scratch() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() }
}
