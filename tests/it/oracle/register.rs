//! The register of services: the last writer wins, by (version, time, source, id), separately for
//! existence and publication.

use std::collections::BTreeMap;

use super::{Sound, What};

/// (organization, region, service)
type Service = (String, String, String);

/// (version, time, source, id)
type Stamp = (i64, i64, String, String);

/// Everything that was ever said, so that the register of any past moment can be had.
#[derive(Debug, Default)]
pub struct Register {
    said: BTreeMap<Service, Vec<Said>>,
}

#[derive(Debug)]
struct Said {
    stamp: Stamp,
    exists: Option<bool>,
    published: Option<bool>,
}

impl Register {
    pub fn apply(&mut self, sound: Sound) {
        let What::Service { service, event_type, published, version } = sound.what else { return };
        let (exists, published) = match event_type.as_str() {
            "service.created" => (Some(true), Some(published == Some(true))),
            "service.updated" => (Some(true), published),
            "service.published" => (Some(true), Some(true)),
            "service.unpublished" => (None, Some(false)),
            "service.deleted" => (Some(false), None),
            other => unreachable!("{other} is no event of the catalog"),
        };
        let stamp = (version, sound.time_ms, sound.source, sound.id);
        let service = (sound.organization, sound.region, service);
        self.said.entry(service).or_default().push(Said { stamp, exists, published });
    }

    pub fn add(&mut self, other: Self) {
        for (service, said) in other.said {
            self.said.entry(service).or_default().extend(said);
        }
    }

    /// Services and published services by (organization, region), after what happened before an
    /// instant; only where there are any.
    pub fn counts(&self, before_ms: i64) -> BTreeMap<(String, String), (u64, u64)> {
        let mut counts = BTreeMap::new();
        for ((organization, region, _), said) in &self.said {
            let last = |of: &dyn Fn(&Said) -> Option<bool>| {
                let said = said.iter().filter(|said| said.stamp.1 < before_ms && of(said).is_some());
                said.max_by_key(|said| &said.stamp).and_then(of)
            };
            if last(&|said| said.exists) == Some(true) {
                let (services, published) =
                    counts.entry((organization.clone(), region.clone())).or_insert((0, 0));
                *services += 1;
                *published += u64::from(last(&|said| said.published) == Some(true));
            }
        }
        counts
    }
}
