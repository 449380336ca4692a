//! The service catalogs of all organizations, and what a last-writer-wins register has to hold
//! after their events, in any order.

use std::collections::HashMap;

use crate::event::ServiceAction;

use super::draft::{Change, Draft, Kind, RegionIndex};
use super::organizations;
use super::random::Random;
use super::run::Run;

#[cfg(test)]
mod tests;

/// (organization, region, slot)
type Service = (u32, RegionIndex, u16);

#[derive(Debug)]
pub(super) struct Catalog {
    /// Epoch milliseconds: the first instants that no longer belong to the run's months.
    month_ends: Vec<i64>,
    services: HashMap<Service, State>,
}

#[derive(Debug)]
struct State {
    /// As the last change left it, to choose a sensible next one.
    exists: bool,
    published: bool,
    changes: u32,
    /// For each month: the register of events timed before its end.
    registers: Vec<Register>,
}

/// Order of writers: version, time, id. Between time and id stands the source, which is the same
/// for all events of one service.
type Stamp = (i64, i64, u128);

#[derive(Clone, Debug, Default)]
struct Register {
    exists: Option<(Stamp, bool)>,
    published: Option<(Stamp, bool)>,
}

impl Catalog {
    pub fn new(month_ends: Vec<i64>) -> Self {
        Self { month_ends, services: HashMap::new() }
    }

    /// The next change of one of the organization's services. Some come late: an older version
    /// after a newer one, which must change nothing.
    pub fn next_change(&mut self, organization: u32, region: RegionIndex, random: &mut Random) -> Change {
        let slot = random.below(u64::from(organizations::services(organization))) as u16;
        let months = self.month_ends.len();
        let state = self.services.entry((organization, region, slot)).or_insert_with(|| State {
            exists: false,
            published: false,
            changes: 0,
            registers: vec![Register::default(); months],
        });
        let action = state.next_action(random);
        let published = match action {
            ServiceAction::Created => *random.pick(&[None, Some(true), Some(false)]),
            ServiceAction::Updated if random.one_in(4) => Some(!state.published),
            _ => None,
        };
        let name = match action {
            ServiceAction::Created => Some(0),
            ServiceAction::Updated => Some(state.changes),
            _ => None,
        };
        state.note(action, published);
        let late = action == ServiceAction::Updated && random.one_in(5);
        let version = i64::from(if late { state.changes - 2 } else { state.changes });
        let version = organizations::counts_versions(organization).then_some(version);
        Change { slot, action, published, version, name }
    }

    /// Lets a sound event into the register; call it once for each that is counted.
    pub fn apply(&mut self, run: &Run, draft: &Draft) {
        let Kind::Catalog(change) = &draft.kind else { return };
        let Some(state) = self.services.get_mut(&(draft.organization, draft.region, change.slot)) else {
            return;
        };
        let stamp = (change.version.unwrap_or(draft.time_ms), draft.time_ms, run.event_id(draft.ordinal));
        for (register, &end) in state.registers.iter_mut().zip(&self.month_ends) {
            if draft.time_ms < end {
                register.write(stamp, change);
            }
        }
    }

    /// For each organization and region with any: services and published services at the end of
    /// the month of that number.
    pub fn counts(&self, month: usize) -> HashMap<(u32, RegionIndex), (u64, u64)> {
        let mut counts = HashMap::new();
        for (&(organization, region, _), state) in &self.services {
            let register = &state.registers[month];
            if register.exists() {
                let (services, published) = counts.entry((organization, region)).or_insert((0, 0));
                *services += 1;
                *published += u64::from(register.published());
            }
        }
        counts
    }
}

impl State {
    fn next_action(&self, random: &mut Random) -> ServiceAction {
        if !self.exists {
            return ServiceAction::Created;
        }
        let publication = if self.published { ServiceAction::Unpublished } else { ServiceAction::Published };
        *random.weighted(&[(ServiceAction::Updated, 10), (publication, 6), (ServiceAction::Deleted, 1)])
    }

    fn note(&mut self, action: ServiceAction, published: Option<bool>) {
        self.changes += 1;
        self.exists = action.exists().unwrap_or(self.exists);
        self.published = match action {
            ServiceAction::Created => published == Some(true),
            ServiceAction::Published => true,
            ServiceAction::Unpublished => false,
            ServiceAction::Updated | ServiceAction::Deleted => published.unwrap_or(self.published),
        };
    }
}

impl Register {
    fn write(&mut self, stamp: Stamp, change: &Change) {
        let published = match change.action {
            ServiceAction::Created => Some(change.published == Some(true)),
            ServiceAction::Published => Some(true),
            ServiceAction::Unpublished => Some(false),
            ServiceAction::Updated => change.published,
            ServiceAction::Deleted => None,
        };
        set(&mut self.exists, stamp, change.action.exists());
        set(&mut self.published, stamp, published);
    }

    fn exists(&self) -> bool {
        self.exists.is_some_and(|(_, exists)| exists)
    }

    fn published(&self) -> bool {
        self.published.is_some_and(|(_, published)| published)
    }
}

fn set(cell: &mut Option<(Stamp, bool)>, stamp: Stamp, value: Option<bool>) {
    if let Some(value) = value
        && cell.is_none_or(|(last, _)| last < stamp)
    {
        *cell = Some((stamp, value));
    }
}
