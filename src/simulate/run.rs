use sha2::{Digest, Sha256};

use super::draft::{Draft, Fault, RegionIndex};
use super::mapping::{self, Place};
use super::organizations;
use super::random::{Random, mix};
use super::settings::{InvalidSettings, Settings};

/// What all events of one run share. Its key is a hash of everything that the run follows from, so
/// that another run has other event ids and the same run has the same.
#[derive(Debug)]
pub(super) struct Run {
    key: u64,
    scatter: u64,
    pub settings: Settings,
    pub organization: Place,
    pub region: Place,
    /// Those of the settings, or the deployment's alone where events name none; then one more that
    /// no counted event is in.
    regions: Vec<String>,
}

/// Of the low half of an event id: 62 bits, since two say that a UUID's variant is RFC 9562's.
const ORDINAL_BITS: u32 = 62;

impl Run {
    pub fn new(settings: Settings, partitions: u32) -> Result<Self, InvalidSettings> {
        settings.check()?;
        let organization = Place::organization(&settings)?;
        let region = Place::region(&settings)?;
        let mut regions = match region {
            Place::Nowhere => vec![settings.default_region.clone()],
            _ => settings.regions.clone(),
        };
        let stranger =
            ["us", "eu", "au", "in"].into_iter().find(|name| !regions.iter().any(|own| own == name));
        regions.push(stranger.unwrap_or("elsewhere").to_owned());
        let span = settings.span_ms();
        let timeless = Settings { now_ms: 0, ..settings.clone() };
        let digest = Sha256::digest(format!("{partitions} {span:?} {timeless:?}"));
        let word = |at: usize| u64::from_be_bytes(digest[at..at + 8].try_into().expect("8 bytes"));
        Ok(Self { key: word(0), scatter: word(8), settings, organization, region, regions })
    }

    /// The number of regions that counted events are in.
    pub fn region_count(&self) -> usize {
        self.regions.len() - 1
    }

    pub fn stranger(&self) -> RegionIndex {
        RegionIndex(self.region_count() as u16)
    }

    pub fn region_name(&self, region: RegionIndex) -> &str {
        &self.regions[usize::from(region.0)]
    }

    /// For choices that only this run makes.
    pub fn random(&self) -> Random {
        Random::new(self.key ^ self.scatter)
    }

    /// For what is in one event's bytes; always the same for one event.
    pub fn random_of(&self, ordinal: u64) -> Random {
        Random::new(mix(self.scatter.wrapping_add(ordinal)))
    }

    /// An event's 128-bit id, a version 4 UUID as it is written: the run's key, then the event's
    /// number scattered one to one.
    pub fn event_id(&self, ordinal: u64) -> u128 {
        let mask = (1 << ORDINAL_BITS) - 1;
        let mut low = ordinal.wrapping_add(self.scatter) & mask;
        for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            low = low.wrapping_mul(factor) & mask;
            low ^= low >> 31;
        }
        let high = (self.key & !0xf000) | 0x4000;
        (u128::from(high) << 64) | u128::from(low | (1 << 63))
    }

    /// An event's id as text.
    pub fn uuid(&self, ordinal: u64) -> String {
        let id = self.event_id(ordinal);
        let part = |from: u32, bits: u32| (id >> (128 - from - bits)) & ((1 << bits) - 1);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(0, 32),
            part(32, 16),
            part(48, 16),
            part(64, 16),
            part(80, 48)
        )
    }

    /// What an event says its region is.
    pub fn region_text(&self, draft: &Draft) -> &str {
        if draft.fault == Some(Fault::BadRegion) { "Europe (west)" } else { self.region_name(draft.region) }
    }

    /// What an event says its organization is; `None` where it says nothing.
    pub fn organization_text(&self, draft: &Draft) -> Option<String> {
        (draft.fault != Some(Fault::NoOrganization)).then(|| organizations::name(draft.organization))
    }

    /// The headers that carry a record's organization and region where the topic is mapped so.
    pub fn headers(&self, draft: &Draft) -> Vec<(String, Vec<u8>)> {
        let mut headers = Vec::new();
        if let (Place::Header(name), Some(text)) = (&self.organization, self.organization_text(draft)) {
            headers.push((name.clone(), text.into_bytes()));
        }
        if let Place::Header(name) = &self.region {
            headers.push((name.clone(), self.region_text(draft).as_bytes().to_vec()));
        }
        headers
    }

    /// Puts organization and region where no writer puts them but the operator's mapping does.
    pub fn put_by_path(&self, draft: &Draft, event: &mut Vec<u8>) {
        if let (Place::Path(path), Some(text)) = (&self.organization, self.organization_text(draft)) {
            mapping::put(event, path, &text);
        }
        if let Place::Path(path) = &self.region {
            mapping::put(event, path, self.region_text(draft));
        }
    }

    /// Whether events can be in every odd shape that a format allows; a mapping by path needs
    /// plain ones.
    pub fn allows_quirks(&self) -> bool {
        ![&self.organization, &self.region].into_iter().any(|place| matches!(place, Place::Path(_)))
    }

    /// A service's id. It names the run, so that no other run's catalog events touch the service.
    pub fn service_id(&self, slot: u16) -> String {
        format!("{}-{:012x}", organizations::service_kind(slot), self.key >> 16)
    }
}
