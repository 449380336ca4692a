use super::*;

use event::Plan;

#[tokio::test]
async fn one_of_two_changes_at_the_same_moment_wins() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    fixture.add_card("acme").await;
    let accounts = &fixture.accounts;
    let version = account::read_version(&accounts.database, "acme").await.unwrap();
    fixture.set_plan("acme", Plan::Free).await.unwrap();
    let mut change = accounts.begin(&admin("acme")).await.unwrap();
    let late = change.unchanged_account("acme", version).await;
    assert_eq!(slug(late), (409, "conflict"));
}

#[tokio::test]
async fn a_change_that_is_not_committed_did_not_happen() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let mut change = fixture.accounts.begin(&Caller::operator()).await.unwrap();
    change.record("nothing", Some("acme"), None, None).await.unwrap();
    change.touch("acme").await.unwrap();
    drop(change);
    fixture.sign_up("other").await;
    fixture.assert_log_is_whole().await;
}
