use super::*;

use event::Plan;

#[tokio::test]
async fn memory_and_database_say_the_same_after_changes_here_and_elsewhere() {
    let fixture = Fixture::new().await;
    fixture.sign_up("before").await;
    let other = Accounts::open(&fixture.settings).await.unwrap();
    let directory = other.load_directory().await.unwrap();
    assert_eq!(directory.len(), 1);
    // Here.
    other.sign_up(&Caller::operator(), &sign_up("here")).await.unwrap();
    assert!(directory.get("here").is_some(), "at once");
    // Elsewhere.
    fixture.sign_up("elsewhere").await;
    fixture.add_card("before").await;
    fixture.set_plan("before", Plan::Free).await.unwrap();
    let mut changed = other.catch_up().await.unwrap();
    changed.sort();
    assert_eq!(changed, ["before", "elsewhere"]);
    for id in ["before", "here", "elsewhere"] {
        let stored = other.stored_account(id).await.unwrap();
        assert_eq!(directory.get(id).map(|account| (*account).clone()), Some(stored), "{id}");
    }
    let fresh = Accounts::open(&fixture.settings).await.unwrap().load_directory().await.unwrap();
    fresh.for_each(|account| assert_eq!(directory.get(&account.id).as_ref(), Some(account)));
    assert_eq!(fresh.len(), 3);
}
