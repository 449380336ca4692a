//! The simulated organizations: the same in every run, so that runs of several formats and months
//! add up for one organization.

use super::random::{Random, mix};

#[cfg(test)]
mod tests;

const ADJECTIVES: [&str; 16] = [
    "amber", "bold", "calm", "crisp", "eager", "fair", "gentle", "keen", "lively", "mellow", "noble",
    "quiet", "rapid", "silver", "sunny", "vivid",
];

const NOUNS: [&str; 16] = [
    "bakery",
    "bank",
    "cargo",
    "clinic",
    "farm",
    "forge",
    "games",
    "harbor",
    "labs",
    "media",
    "motors",
    "outfitters",
    "press",
    "robotics",
    "studio",
    "travel",
];

/// Parts of service ids.
const SERVICES: [&str; 12] = [
    "orders",
    "payments",
    "catalog",
    "search",
    "accounts",
    "shipping",
    "inventory",
    "reports",
    "notifications",
    "pricing",
    "identity",
    "media",
];

/// The name of the organization of rank `index`, 0 being the greatest. Unique by its number.
pub(super) fn name(index: u32) -> String {
    let adjective = ADJECTIVES[index as usize % ADJECTIVES.len()];
    let noun = NOUNS[(index as usize * 7 + index as usize / ADJECTIVES.len()) % NOUNS.len()];
    format!("{adjective}-{noun}-{}", index + 1)
}

/// One of `regions` (a number of them): the organization's home, or for one in ten organizations
/// sometimes the region after it.
pub(super) fn region(index: u32, regions: usize, random: &mut Random) -> usize {
    let home = mix(u64::from(index)) as usize % regions;
    let elsewhere = index.is_multiple_of(10) && random.one_in(4);
    if elsewhere { (home + 1) % regions } else { home }
}

/// How many services an organization has in a region: 2 to 7.
pub(super) fn services(index: u32) -> u16 {
    2 + (mix(u64::from(index) + 1) % 6) as u16
}

pub(super) fn service_kind(slot: u16) -> &'static str {
    SERVICES[slot as usize % SERVICES.len()]
}

/// Whether an organization's catalog counts its changes itself instead of leaving `version` out.
pub(super) fn counts_versions(index: u32) -> bool {
    index % 3 == 1
}
