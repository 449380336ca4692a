use super::*;

use api_key::NewApiKey;
use clock::Time;
use damaged::Damaged;
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

#[tokio::test]
async fn a_key_is_nowhere_in_the_database() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let begun = fixture.accounts.idempotent("operator", "once", b"request").await.unwrap();
    let idempotency::Begin::Run(pending) = begun else { panic!("{begun:?}") };
    let caller = Caller { idempotency: Some(pending), ..Caller::operator() };
    let request = NewApiKey { role: Role::Admin, name: "gateway".to_owned() };
    let created = fixture.accounts.create_api_key(&caller, "acme", &request).await.unwrap();
    let secret_part = created.key.rsplit('_').next().unwrap().to_owned();
    assert_eq!(secret_part.len(), 64, "256 bits");
    fixture.accounts.close().await;
    let path = fixture.settings.url.strip_prefix("sqlite://").unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend(std::fs::read(format!("{path}-wal")).unwrap_or_default());
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&created.id), "the key's row is there");
    assert!(!holds(&secret_part));
    assert!(!holds("once"), "nor is the idempotency key");
}

#[tokio::test]
async fn the_last_use_is_noted() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let created = {
        let request = NewApiKey { role: Role::Runtime, name: "gateway".to_owned() };
        fixture.accounts.create_api_key(&Caller::operator(), "acme", &request).await.unwrap()
    };
    let page = Page::new(None, None);
    assert_eq!(fixture.accounts.api_keys("acme", &page).await.unwrap().data[0].last_used_at, None);
    fixture.advance_by(1000).await;
    fixture.accounts.authenticate(&created.key).await.unwrap().unwrap();
    fixture.accounts.store_key_uses().await.unwrap();
    let used = fixture.accounts.api_keys("acme", &page).await.unwrap().data[0].last_used_at;
    assert_eq!(used, Some(Time(at(START) + 1000)));
}

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
        let stored = account::read(&other.database, id).await.unwrap();
        assert_eq!(directory.get(id).map(|account| (*account).clone()), stored, "{id}");
    }
    let fresh = Directory::load(&other.database, &Damaged::default()).await.unwrap();
    fresh.for_each(|account| assert_eq!(directory.get(&account.id).as_ref(), Some(account)));
    assert_eq!(fresh.len(), 3);
}
