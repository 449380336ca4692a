use std::collections::BTreeSet;

use super::{Check, Settings, named};
use crate::aggregate::LedgerRow;
use crate::store::gate::{self, Fault};
use crate::store::{Published, Store};

/// The rows that count, and what is wrong with them.
pub async fn check(store: &Store, settings: &Settings) -> (Option<Vec<Published>>, Vec<Check>) {
    match store.counting_rows().await {
        Ok(rows) => {
            let ledger: Vec<&LedgerRow> = rows.iter().map(|published| &published.row).collect();
            let checks = vec![alarms(&rows), losses(&ledger), groups(&ledger, &settings.kafka.group)];
            (Some(rows), checks)
        }
        Err(error) => {
            let check = Check::wrong("ledger", error.to_string(), "see whether ClickHouse is well");
            (None, vec![check])
        }
    }
}

fn alarms(rows: &[Published]) -> Check {
    let alarms: Vec<String> = gate::alarms(rows)
        .iter()
        .map(|alarm| {
            let fault = match alarm.fault {
                Fault::Gap => "is counted by nobody",
                Fault::Overlap => "is counted twice",
            };
            format!("{} [{}, {}) {fault}", alarm.lane, alarm.from, alarm.to)
        })
        .collect();
    if alarms.is_empty() {
        return Check::good("ledger", format!("{} rows count, without gap or overlap", rows.len()));
    }
    let hint = "count those offsets again: `odometer recount --topic T --partition P --from O --to O`";
    Check::wrong("ledger", named(&alarms), hint)
}

fn losses(rows: &[&LedgerRow]) -> Check {
    let losses: Vec<String> = rows
        .iter()
        .filter(|row| !row.loss.is_empty())
        .map(|row| format!("{} [{}, {}): {}", row.lane, row.first_offset, row.next_offset, row.loss))
        .collect();
    if losses.is_empty() {
        return Check::good("losses", "none");
    }
    let hint = "months with these offsets are not complete; if the events are elsewhere, send them again, \
                and give the topic more retention";
    Check::wrong("losses", named(&losses), hint)
}

fn groups(rows: &[&LedgerRow], ours: &str) -> Check {
    let others: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.group != ours)
        .map(|row| format!("{} is counted by group {}", row.lane, row.group))
        .collect();
    if others.is_empty() {
        return Check::good("group", format!("{ours} alone counts into this database"));
    }
    let others: Vec<String> = others.into_iter().collect();
    Check::wrong(
        "group",
        named(&others),
        format!(
            "a lane is counted by one group only, and this is {ours}: set kafka.group, or clickhouse.database"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{BlockId, BlockKind, Tally};
    use crate::audit::doctor::Health;
    use crate::event::{Lane, RulesHash};

    fn row(group: &str, loss: &str) -> LedgerRow {
        LedgerRow {
            lane: Lane { topic: "t".into(), topic_id: "id".into(), partition: 3 },
            group: group.to_owned(),
            token: 1,
            tenure: 1,
            sequence: 0,
            block: BlockId(1),
            kind: BlockKind::Live,
            level: 0,
            first_offset: 10,
            next_offset: 20,
            tally: Tally::default(),
            quantity: 0,
            times: None,
            window_from: 0,
            leader_epoch: 0,
            digest: 0,
            rules: RulesHash(1),
            loss: loss.to_owned(),
        }
    }

    #[test]
    fn losses_and_other_groups_are_named() {
        let (sound, lost, foreign) =
            (row("ours", ""), row("ours", "the log starts at 20"), row("theirs", ""));
        assert_eq!(losses(&[&sound]).health, Health::Good);
        let check = losses(&[&sound, &lost]);
        assert_eq!(
            (check.health, check.detail.as_str()),
            (Health::Wrong, "t[3] [10, 20): the log starts at 20")
        );
        assert_eq!(groups(&[&sound], "ours").health, Health::Good);
        assert_eq!(groups(&[&sound, &foreign, &foreign], "ours").detail, "t[3] is counted by group theirs");
    }
}
