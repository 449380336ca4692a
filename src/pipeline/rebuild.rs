use std::collections::HashMap;

use super::counter::meter_name;
use crate::aggregate::{LedgerRow, MeterName};
use crate::decode::{Decoder, InvalidRules};
use crate::event::{Rules, RulesHash};

/// How a part of the log is read again for its keys: each range under the rules of the ledger row
/// that counts there.
pub struct Rebuild {
    /// The window knows everything below already.
    from: i64,
    /// Ends of ranges, ascending, each with an index into `readers`.
    ranges: Vec<(i64, usize)>,
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
        let mut rebuild = Self { from, ranges: Vec::new(), readers: Vec::new() };
        let mut known: HashMap<RulesHash, usize> = HashMap::new();
        for row in rows.iter().filter(|row| row.loss.is_empty()) {
            let Some(of_row) = rules.get(&row.rules) else { continue };
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
            rebuild.ranges.push((row.next_offset, index));
        }
        Ok(rebuild)
    }

    /// The decoder for a record at `offset`; `None` where no row covers it.
    pub(super) fn decoder(&mut self, offset: i64) -> Option<(&mut Decoder, &[MeterName])> {
        if offset < self.from {
            return None;
        }
        let at = self.ranges.partition_point(|(end, _)| *end <= offset);
        let (_, index) = *self.ranges.get(at)?;
        let (decoder, meters) = &mut self.readers[index];
        Some((decoder, meters))
    }
}
