use super::*;

use audit_log::ChainBreak;

async fn broken_by(sql: &'static str) -> ChainBreak {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    fixture.sign_up("other").await;
    let database = fixture.accounts.database();
    let whole = fixture.accounts.verify_log().await.unwrap().expect("the chain is whole");
    // The license key, the clock, two sign-ups.
    assert_eq!(whole, 4);
    database.execute(sql, &[]).await.unwrap();
    fixture.accounts.verify_log().await.unwrap().expect_err("the chain is broken")
}

#[tokio::test]
async fn whatever_is_done_to_the_log_is_found_at_its_place() {
    for (sql, place) in [
        ("UPDATE audit_log SET actor = 'nobody' WHERE sequence = 2", ChainBreak::Changed { sequence: 2 }),
        ("UPDATE audit_log SET at_ms = at_ms + 1 WHERE sequence = 3", ChainBreak::Changed { sequence: 3 }),
        ("UPDATE audit_log SET before = '{}' WHERE sequence = 3", ChainBreak::Changed { sequence: 3 }),
        ("UPDATE audit_log SET hash = 'x' WHERE sequence = 1", ChainBreak::Changed { sequence: 1 }),
        ("DELETE FROM audit_log WHERE sequence = 2", ChainBreak::Missing { expected: 2, found: 3 }),
        ("DELETE FROM audit_log WHERE sequence = 4", ChainBreak::Cut { expected: 4, found: 3 }),
        ("DELETE FROM audit_log", ChainBreak::Cut { expected: 4, found: 0 }),
        ("UPDATE audit_head SET hash = 'x'", ChainBreak::Changed { sequence: 4 }),
    ] {
        assert_eq!(broken_by(sql).await, place, "{sql}");
    }
}
