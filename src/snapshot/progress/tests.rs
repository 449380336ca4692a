use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::aggregate::{BlockKind, CountRow, Fold};
use crate::event::RulesHash;
use crate::month::Month;
use crate::snapshot::table::{Table, Totals};
use crate::store::gate;

fn lane(partition: i32) -> Lane {
    Lane { topic: "events".into(), topic_id: "AAAAAAAAAAAAAAAAAAAAAA".into(), partition }
}

/// A ledger and the rows of its blocks, as a store keeps them.
#[derive(Default)]
pub struct World {
    pub ledger: Vec<LedgerRow>,
    rows: BTreeMap<BlockId, Vec<CountRow>>,
    /// Events by lane and offset: (organization, value).
    log: BTreeMap<(i32, i64), (u8, u64)>,
}

impl World {
    fn end(&self, partition: i32) -> i64 {
        let of_lane = self.ledger.iter().filter(|row| row.lane.partition == partition);
        of_lane.map(|row| row.next_offset).max().unwrap_or(0)
    }

    fn counting(&self) -> Vec<LedgerRow> {
        gate::counting(self.ledger.clone())
    }

    fn publish(&mut self, kind: BlockKind, partition: i32, first_offset: i64, next_offset: i64) {
        let block = BlockId(self.ledger.len() as u128 + 1);
        let mut counts: BTreeMap<u8, u128> = BTreeMap::new();
        let mut digest = 0_u128;
        for ((_, offset), (organization, value)) in
            self.log.range((partition, first_offset)..(partition, next_offset))
        {
            *counts.entry(*organization).or_default() += u128::from(*value);
            let event = ((u128::from(*organization) << 64) | u128::from(*value)) + 1;
            let place = u128::from(offset.unsigned_abs()) + 1;
            digest = digest.wrapping_add(mixed(event ^ (place << 96)));
        }
        let rows: Vec<CountRow> =
            counts.iter().map(|(organization, value)| count(*organization, *value)).collect();
        let counted = u64::try_from(next_offset - first_offset).unwrap();
        self.ledger.push(LedgerRow {
            lane: lane(partition),
            group: "odometer".into(),
            token: 1,
            tenure: 0,
            sequence: self.ledger.len() as u64,
            block,
            kind,
            level: 0,

            first_offset,
            next_offset,
            tally: Tally { counted, ..Tally::default() },
            quantity: counts.values().sum(),
            times: None,
            window_from: 0,
            leader_epoch: -1,
            digest,
            rules: RulesHash(0),
            loss: String::new(),
        });
        self.rows.insert(block, rows);
    }

    /// The totals by organization, from the log alone.
    fn oracle(&self) -> BTreeMap<u8, u128> {
        let mut totals = BTreeMap::new();
        for ((partition, offset), (organization, value)) in &self.log {
            if *offset < self.end(*partition) {
                *totals.entry(*organization).or_default() += u128::from(*value);
            }
        }
        totals
    }
}

/// Like the product's digest, sums of which nobody hits by chance: a weighted sum of the values was
/// equal for other values once.
fn mixed(event: u128) -> u128 {
    let once = (event ^ (event >> 67)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let twice = (once ^ (once >> 59)).wrapping_mul(0xc2b2_ae3d_27d4_eb4f_1656_67b1_9e37_79f9);
    twice ^ (twice >> 64)
}

fn count(organization: u8, value: u128) -> CountRow {
    CountRow {
        organization: format!("org-{organization}"),
        meter: "api_calls".into(),
        region: "us".into(),
        hour: month().hours().start,
        fold: Fold::Sum,
        value,
    }
}

fn month() -> Month {
    "2026-11".parse().unwrap()
}

/// What `serve` does at each look at the ledger.
struct Reader {
    table: Table,
    progress: Progress,
    reloads: usize,
}

impl Reader {
    fn new() -> Self {
        Self { table: Table::new(month()), progress: Progress::default(), reloads: 0 }
    }

    fn poll(&mut self, world: &World) {
        let counting = world.counting();
        let blocks = match self.progress.step_to(&counting) {
            Step::Apply(blocks) => blocks,
            Step::Reload { .. } => {
                self.reloads += 1;
                self.table = Table::new(month());
                counting.clone()
            }
        };
        for block in &blocks {
            self.table.apply(&world.rows[&block.block], &[]);
        }
        self.progress.advance(&counting);
    }

    fn totals(&self) -> BTreeMap<u8, u128> {
        let value = |totals: Totals| {
            totals.regions.values().flat_map(|region| region.meters.values()).map(|used| used.value()).sum()
        };
        (0..4)
            .filter_map(|organization| {
                let totals = self.table.totals(&format!("org-{organization}"), month())?;
                Some((organization, value(totals)))
            })
            .collect()
    }
}

#[derive(Clone, Debug)]
pub enum Act {
    /// Events are published live as blocks of so many events.
    Live {
        partition: i32,
        events: Vec<(u8, u64)>,
    },
    /// Neighbouring blocks become one; which: the place and number of blocks that count.
    Roll {
        partition: i32,
        from: prop::sample::Index,
        blocks: usize,
    },
    /// The same, counted again after one event of the range turned out to be worth something else.
    Recount {
        partition: i32,
        from: prop::sample::Index,
        blocks: usize,
        value: Option<u64>,
    },
    Poll,
}

pub fn any_act() -> impl Strategy<Value = Act> {
    let partition = || 0..2_i32;
    let run = || (any::<prop::sample::Index>(), 1..5_usize);
    prop_oneof![
        4 => (partition(), prop::collection::vec((0..4_u8, 0..100_u64), 0..5))
            .prop_map(|(partition, events)| Act::Live { partition, events }),
        2 => (partition(), run()).prop_map(|(partition, (from, blocks))| Act::Roll { partition, from, blocks }),
        1 => (partition(), run(), prop::option::of(0..100_u64)).prop_map(
            |(partition, (from, blocks), value)| Act::Recount { partition, from, blocks, value }
        ),
        3 => Just(Act::Poll),
    ]
}

impl World {
    /// The offsets of a run of blocks that count; one without offsets can't be replaced.
    fn run(&self, partition: i32, from: prop::sample::Index, blocks: usize) -> Option<(i64, i64)> {
        let mut counting = self.counting();
        counting.retain(|row| row.lane.partition == partition);
        counting.sort_by_key(|row| (row.first_offset, row.next_offset));
        if counting.is_empty() {
            return None;
        }
        let from = from.index(counting.len());
        let last = (from + blocks).min(counting.len()) - 1;
        Some((counting[from].first_offset, counting[last].next_offset)).filter(|(first, next)| first < next)
    }

    pub fn act(&mut self, act: Act) {
        match act {
            Act::Live { partition, events } => {
                let first = self.end(partition);
                let mut next = first;
                for event in events {
                    self.log.insert((partition, next), event);
                    next += 1;
                }
                self.publish(BlockKind::Live, partition, first, next);
            }
            Act::Roll { partition, from, blocks } => {
                if let Some((first, next)) = self.run(partition, from, blocks) {
                    self.publish(BlockKind::Roll, partition, first, next);
                }
            }
            Act::Recount { partition, from, blocks, value } => {
                if let Some((first, next)) = self.run(partition, from, blocks) {
                    if let (Some(value), Some(event)) = (value, self.log.get_mut(&(partition, first))) {
                        event.1 = value;
                    }
                    self.publish(BlockKind::Recount, partition, first, next);
                }
            }
            Act::Poll => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_interleaving_of_blocks_rolls_and_recounts_gives_the_true_totals(
        acts in prop::collection::vec(any_act(), 0..60),
    ) {
        let mut world = World::default();
        let mut reader = Reader::new();
        for act in acts {
            let look = matches!(act, Act::Poll);
            world.act(act);
            if look {
                reader.poll(&world);
                prop_assert_eq!(reader.totals(), world.oracle());
            }
        }
        reader.poll(&world);
        prop_assert_eq!(reader.totals(), world.oracle());
        reader.poll(&world);
        prop_assert_eq!(reader.progress.step_to(&world.counting()), Step::Apply(Vec::new()));
    }
}

fn live(world: &mut World, events: &[(u8, u64)]) {
    world.act(Act::Live { partition: 0, events: events.to_vec() });
}

#[test]
fn a_roll_of_blocks_that_are_held_changes_nothing() {
    let (mut world, mut reader) = (World::default(), Reader::new());
    live(&mut world, &[]);
    live(&mut world, &[(0, 1), (1, 2)]);
    live(&mut world, &[(0, 3)]);
    reader.poll(&world);
    world.publish(BlockKind::Roll, 0, 0, 3);
    assert_eq!(reader.progress.step_to(&world.counting()), Step::Apply(Vec::new()));
}

#[test]
fn the_first_live_block_hides_the_empty_one_that_began_the_lane() {
    let (mut world, mut reader) = (World::default(), Reader::new());
    live(&mut world, &[]);
    reader.poll(&world);
    live(&mut world, &[(0, 1)]);
    reader.poll(&world);
    assert_eq!((reader.reloads, reader.totals()), (0, world.oracle()));
}

#[test]
fn a_recount_under_a_roll_is_not_missed() {
    let (mut world, mut reader) = (World::default(), Reader::new());
    live(&mut world, &[(0, 1), (1, 2)]);
    reader.poll(&world);
    world.log.insert((0, 1), (1, 50));
    world.publish(BlockKind::Recount, 0, 0, 2);
    world.publish(BlockKind::Roll, 0, 0, 2);
    assert!(matches!(reader.progress.step_to(&world.counting()), Step::Reload { .. }));
    reader.poll(&world);
    assert_eq!(reader.totals(), world.oracle());
}

/// A digest does not tell how a meter adds up: a recount may have made a maximum of a sum.
#[test]
fn a_recount_reloads_also_where_its_digest_is_the_same() {
    let (mut world, mut reader) = (World::default(), Reader::new());
    live(&mut world, &[(0, 1), (1, 2)]);
    reader.poll(&world);
    world.publish(BlockKind::Recount, 0, 0, 2);
    reader.poll(&world);
    assert_eq!(reader.reloads, 1);
}

#[test]
fn a_roll_over_blocks_of_which_some_are_new_reloads() {
    let (mut world, mut reader) = (World::default(), Reader::new());
    live(&mut world, &[(0, 1)]);
    reader.poll(&world);
    live(&mut world, &[(0, 3)]);
    world.publish(BlockKind::Roll, 0, 0, 2);
    assert_eq!(reader.progress.step_to(&world.counting()), Step::Reload { lane: lane(0), first_offset: 0 });
}

#[test]
fn a_lane_that_vanished_reloads() {
    let (mut world, mut reader) = (World::default(), Reader::new());
    live(&mut world, &[(0, 1)]);
    reader.poll(&world);
    assert!(matches!(reader.progress.step_to::<LedgerRow>(&[]), Step::Reload { .. }));
}
