//! The consumer group's coordinator, as Kafka's classic protocol has it.

use std::collections::{BTreeMap, BTreeSet};

use odometer::source::Committed;

use super::chance::Chance;

pub type Place = (&'static str, i32);

#[derive(Default)]
pub struct Group {
    pub cooperative: bool,
    pub phase: Phase,
    pub generation: i32,
    pub members: BTreeMap<u64, Member>,
    next_member: u64,
    pub commits: BTreeMap<Place, Committed>,
    /// Earlier states of the commits; a coordinator that was lost may come back with one of them.
    pub past_commits: Vec<BTreeMap<Place, Committed>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Empty,
    /// Waits for all members to join again.
    Preparing,
    /// The generation is new; members don't know their lanes yet.
    Completing,
    Stable,
}

#[derive(Debug, Default)]
pub struct Member {
    /// In the round that is under way.
    pub has_joined: bool,
    /// What it said that it owns when it joined.
    pub owned: BTreeSet<Place>,
    /// What the generation gives it.
    pub assigned: BTreeSet<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitRefusal {
    UnknownMember,
    IllegalGeneration,
    RebalanceInProgress,
}

impl Group {
    /// `member`: its id from an earlier round.
    pub fn join(&mut self, member: Option<u64>, owned: BTreeSet<Place>) -> u64 {
        let id = member.filter(|id| self.members.contains_key(id)).unwrap_or_else(|| {
            self.next_member += 1;
            self.next_member
        });
        if self.phase != Phase::Preparing {
            self.prepare();
        }
        let member = self.members.entry(id).or_default();
        member.has_joined = true;
        member.owned = owned;
        id
    }

    /// The topics' partitions changed.
    pub fn rebalance(&mut self) {
        if matches!(self.phase, Phase::Completing | Phase::Stable) {
            self.prepare();
        }
    }

    fn prepare(&mut self) {
        self.phase = Phase::Preparing;
        for member in self.members.values_mut() {
            member.has_joined = false;
        }
    }

    /// A member left, or was silent for too long.
    pub fn remove(&mut self, member: u64) {
        if self.members.remove(&member).is_none() {
            return;
        }
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.generation += 1;
        } else if self.phase != Phase::Preparing {
            self.prepare();
        }
    }

    pub fn can_complete_join(&self) -> bool {
        self.phase == Phase::Preparing && self.members.values().all(|member| member.has_joined)
    }

    /// All have joined: the next generation, with its assignment.
    pub fn complete_join(&mut self, places: &[Place], chance: &mut Chance) {
        self.generation += 1;
        self.phase = Phase::Completing;
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for member in self.members.values_mut() {
            member.assigned.clear();
        }
        for place in places {
            let owner = ids.iter().copied().find(|id| self.members[id].owned.contains(place));
            let target = match owner {
                // Sticky, as a rule.
                Some(owner) if self.cooperative && !chance.one_in(4) => owner,
                _ => *chance.pick(&ids),
            };
            // A lane moves only once its owner has given it up.
            if self.cooperative && owner.is_some_and(|owner| owner != target) {
                continue;
            }
            self.members.get_mut(&target).expect("one of them").assigned.insert(*place);
        }
    }

    pub fn commit(
        &mut self,
        place: Place,
        member: Option<u64>,
        generation: i32,
        committed: Committed,
    ) -> Result<(), CommitRefusal> {
        if !(generation < 0 && self.phase == Phase::Empty) {
            match member {
                Some(member) if self.members.contains_key(&member) => {}
                _ => return Err(CommitRefusal::UnknownMember),
            }
            if generation != self.generation {
                return Err(CommitRefusal::IllegalGeneration);
            }
            if self.phase == Phase::Completing {
                return Err(CommitRefusal::RebalanceInProgress);
            }
        }
        self.past_commits.push(self.commits.clone());
        self.commits.insert(place, committed);
        Ok(())
    }
}
