use super::*;

use idempotency::Begin;

#[tokio::test]
async fn the_answer_is_stored_with_the_change_and_given_again_for_a_day() {
    let fixture = Fixture::new().await;
    let accounts = &fixture.accounts;
    let Begin::Run(pending) = accounts.idempotent("operator", "k1", b"POST one").await.unwrap() else {
        panic!("the first request runs")
    };
    assert!(matches!(accounts.idempotent("operator", "k1", b"POST one").await.unwrap(), Begin::InProgress));
    let caller = Caller { idempotency: Some(pending.clone()), ..Caller::operator() };
    let answer = accounts.sign_up(&caller, &sign_up("acme")).await.unwrap();
    // What comes from the layer above changes nothing.
    accounts.finish_idempotent(&pending, 500, b"other").await.unwrap();
    for _ in 0..2 {
        let begin = accounts.idempotent("operator", "k1", b"POST one").await.unwrap();
        let Begin::Replay(stored) = begin else { panic!("{begin:?}") };
        assert_eq!(stored.status, 201);
        assert_eq!(serde_json::from_slice::<OrganizationAnswer>(&stored.body).unwrap(), answer);
    }
    assert!(matches!(accounts.idempotent("operator", "k1", b"POST two").await.unwrap(), Begin::Mismatch));
    assert!(matches!(accounts.idempotent("key x", "k1", b"POST one").await.unwrap(), Begin::Run(_)));
    fixture.advance_by(DAY_MS - 1).await;
    assert!(matches!(accounts.idempotent("operator", "k1", b"POST one").await.unwrap(), Begin::Replay(_)));
    fixture.advance_by(1).await;
    assert!(matches!(accounts.idempotent("operator", "k1", b"POST two").await.unwrap(), Begin::Run(_)));
}

#[tokio::test]
async fn a_request_that_failed_can_be_tried_again() {
    let fixture = Fixture::new().await;
    let accounts = &fixture.accounts;
    let Begin::Run(pending) = accounts.idempotent("operator", "k", b"r").await.unwrap() else { panic!() };
    accounts.abandon_idempotent(&pending).await.unwrap();
    let Begin::Run(pending) = accounts.idempotent("operator", "k", b"r").await.unwrap() else { panic!() };
    accounts.finish_idempotent(&pending, 404, b"{}").await.unwrap();
    accounts.abandon_idempotent(&pending).await.unwrap();
    let begin = accounts.idempotent("operator", "k", b"r").await.unwrap();
    let Begin::Replay(stored) = begin else { panic!("an answer stays: {begin:?}") };
    assert_eq!((stored.status, stored.body.as_slice()), (404, b"{}".as_slice()));
}

#[tokio::test]
async fn a_request_that_a_crash_cut_off_runs_again() {
    let fixture = Fixture::new().await;
    let accounts = &fixture.accounts;
    assert!(matches!(accounts.idempotent("operator", "k", b"r").await.unwrap(), Begin::Run(_)));
    let sql = "UPDATE idempotency SET started_ms = started_ms - 120001";
    accounts.database().execute(sql, &[]).await.unwrap();
    assert!(matches!(accounts.idempotent("operator", "k", b"r").await.unwrap(), Begin::Run(_)));
}
