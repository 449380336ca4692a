use super::Check;
use crate::clock::Clock;
use crate::store::{Inspection, Store};

/// Event times are held against record times, so clocks hardly matter; completeness shows both.
const DOUBTFUL_SKEW_MS: i64 = 2_000;
const WRONG_SKEW_MS: i64 = 60_000;
/// Merges need room for a copy of what they merge.
const LEAST_FREE_PERCENT: u64 = 10;

pub async fn check(store: &Store, clock: &Clock) -> Vec<Check> {
    let asked_ms = clock.now_ms();
    match store.inspect().await {
        Err(error) => {
            let is_unreachable = error.is_unreachable();
            let hint = "start it, or correct clickhouse.url, user and password; until then lanes wait and nothing is lost";
            vec![Check { is_unreachable, ..Check::wrong("ClickHouse", error.to_string(), hint) }]
        }
        Ok(inspection) => judge(&inspection, asked_ms, clock.now_ms()),
    }
}

/// The server answered between the two instants of our clock.
fn judge(inspection: &Inspection, asked_ms: i64, answered_ms: i64) -> Vec<Check> {
    let mut checks = vec![tables(inspection), skew(inspection.now_ms, asked_ms, answered_ms)];
    checks.extend(inspection.disk.map(|(free, total)| disk(free, total)));
    checks
}

fn tables(inspection: &Inspection) -> Check {
    let name = "ClickHouse tables";
    if !inspection.missing.is_empty() {
        let detail = format!("missing: {}", inspection.missing.join(", "));
        return Check::wrong(name, detail, "run `odometer setup` to make them");
    }
    if let Some((table, lack)) = inspection.not_durable.first() {
        let detail = format!("{table} lacks {lack}: at a power cut the ledger could outlive its counts");
        let hint = format!("ALTER TABLE {table} MODIFY SETTING {lack}");
        return Check::wrong(name, detail, hint);
    }
    Check::good(name, format!("version {}, durable", inspection.version))
}

fn skew(server_ms: i64, asked_ms: i64, answered_ms: i64) -> Check {
    let name = "ClickHouse clock";
    // What lies outside of the two instants is skew for certain.
    let skew_ms = (server_ms - answered_ms).max(asked_ms - server_ms).max(0);
    let detail = format!("differs by {skew_ms} ms from this machine's");
    let hint = "synchronise both clocks, e.g. with chrony";
    match skew_ms {
        ..DOUBTFUL_SKEW_MS => Check::good(name, "agrees with this machine's"),
        DOUBTFUL_SKEW_MS..WRONG_SKEW_MS => Check::doubtful(name, detail, hint),
        _ => Check::wrong(name, detail, hint),
    }
}

fn disk(free: u64, total: u64) -> Check {
    let name = "ClickHouse disk";
    let percent = u64::try_from(u128::from(free) * 100 / u128::from(total.max(1))).unwrap_or(100);
    let detail = format!("{percent} % free ({} GiB)", free >> 30);
    if percent < LEAST_FREE_PERCENT {
        return Check::doubtful(name, detail, "make room: when it is full, lanes wait until there is some");
    }
    Check::good(name, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::doctor::Health;

    fn healths(inspection: &Inspection) -> Vec<Health> {
        judge(inspection, 1_000_000, 1_000_100).iter().map(|check| check.health).collect()
    }

    #[test]
    fn a_server_is_judged_by_its_tables_its_clock_and_its_disk() {
        use Health::{Doubtful, Good, Wrong};
        let sound = Inspection {
            version: "26.7".to_owned(),
            now_ms: 1_000_050,
            missing: Vec::new(),
            not_durable: Vec::new(),
            disk: Some((50, 100)),
        };
        assert_eq!(healths(&sound), [Good, Good, Good]);
        assert_eq!(
            healths(&Inspection { missing: vec!["counts".to_owned()], ..sound.clone() }),
            [Wrong, Good, Good]
        );
        let lack = vec![("counts".to_owned(), "fsync_after_insert = 1".to_owned())];
        assert_eq!(healths(&Inspection { not_durable: lack, ..sound.clone() }), [Wrong, Good, Good]);
        assert_eq!(healths(&Inspection { now_ms: 1_005_000, ..sound.clone() }), [Good, Doubtful, Good]);
        assert_eq!(healths(&Inspection { now_ms: 900_000, ..sound.clone() }), [Good, Wrong, Good]);
        assert_eq!(healths(&Inspection { disk: Some((9, 100)), ..sound.clone() }), [Good, Good, Doubtful]);
        assert_eq!(healths(&Inspection { disk: None, ..sound }), [Good, Good]);
    }
}
