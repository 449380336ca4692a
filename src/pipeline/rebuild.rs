use std::collections::HashMap;

use super::counter::{identify, meter_name};
use crate::aggregate::{LedgerRow, MeterName};
use crate::decode::{Decoded, Decoder, InvalidRules};
use crate::dedup::Occurrence;
use crate::event::{Identifier, Record, Rules, RulesHash};
use crate::flush::Stores;

/// How a part of the log is read again for its keys: each range under the rules of the ledger row
/// that counts there.
pub struct Rebuild {
    identifier: Identifier,
    /// The window knows everything below already.
    from: i64,
    /// Ends of ranges, ascending, each with an index into `readers`, where its rules are known.
    ranges: Vec<(i64, Option<usize>)>,
    readers: Vec<(Decoder, Vec<MeterName>)>,
}

impl Rebuild {
    /// For the offsets that `rows` cover, from `from` on. `rules` gives the rules of a hash.
    pub fn new(
        topic: &str,
        from: i64,
        rows: &[LedgerRow],
        rules: &HashMap<RulesHash, Rules>,
    ) -> Result<Self, InvalidRules> {
        let mut rebuild =
            Self { identifier: Identifier::default(), from, ranges: Vec::new(), readers: Vec::new() };
        let mut known: HashMap<RulesHash, usize> = HashMap::new();
        for row in rows.iter().filter(|row| row.loss.is_empty()) {
            let Some(of_row) = rules.get(&row.rules) else {
                rebuild.ranges.push((row.next_offset, None));
                continue;
            };
            let index = match known.get(&row.rules) {
                Some(index) => *index,
                None => {
                    let decoder = Decoder::new(topic, of_row)?;
                    let meters = decoder.meters().iter().map(meter_name).collect();
                    rebuild.readers.push((decoder, meters));
                    known.insert(row.rules, rebuild.readers.len() - 1);
                    rebuild.readers.len() - 1
                }
            };
            rebuild.ranges.push((row.next_offset, Some(index)));
        }
        Ok(rebuild)
    }

    /// Visits each key that the record claims, in order.
    pub fn each_key(&mut self, record: &Record<'_>, mut visit: impl FnMut(Occurrence)) {
        if record.offset < self.from {
            return;
        }
        let at = self.ranges.partition_point(|(end, _)| *end <= record.offset);
        let Some((_, Some(index))) = self.ranges.get(at) else { return };
        let (decoder, meters) = &mut self.readers[*index];
        let identifier = &mut self.identifier;
        decoder.decode(record, &mut |_, _, decoded| {
            if let Decoded::Event(event) = decoded {
                let (key, content) = identify(identifier, meters, &event);
                visit(Occurrence::new(record.offset, key, content));
            }
        });
    }
}

/// Today's rules and those that `rows` name, by their hashes; what the store has not is left out.
pub(super) async fn known_rules<S: Stores>(
    store: &S,
    rows: &[LedgerRow],
    today: &Rules,
) -> Result<HashMap<RulesHash, Rules>, S::Error> {
    let mut known = HashMap::from([(today.hash(), today.clone())]);
    for row in rows {
        if known.contains_key(&row.rules) {
            continue;
        }
        if let Some(rules) = store.rules(row.rules).await? {
            known.insert(row.rules, rules);
        }
    }
    Ok(known)
}
