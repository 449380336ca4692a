use super::*;

use api_key::NewApiKey;

async fn create(fixture: &Fixture, id: &str, role: Role) -> api_key::CreatedApiKey {
    let request = NewApiKey { role, name: "gateway".to_owned() };
    fixture.accounts.create_api_key(&Caller::operator(), id, &request).await.expect("a key")
}

#[tokio::test]
async fn a_key_stands_for_its_organization_and_role_until_it_is_revoked() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let created = create(&fixture, "acme", Role::Viewer).await;
    for loaded in [false, true] {
        if loaded {
            fixture.accounts.load_directory().await.unwrap();
        }
        let holder = fixture.accounts.authenticate(&created.key).await.unwrap().expect("a known key");
        assert_eq!((holder.organization.as_str(), holder.role), ("acme", Role::Viewer));
        let mut wrong = created.key.clone();
        let last = if wrong.pop() == Some('0') { '1' } else { '0' };
        wrong.push(last);
        for token in
            [wrong.as_str(), "odo_", "odo__", "", created.key.trim_start_matches("odo_"), &created.id]
        {
            assert_eq!(fixture.accounts.authenticate(token).await.unwrap(), None, "{token}");
        }
    }
    fixture.accounts.delete_api_key(&admin("acme"), "acme", &created.id).await.unwrap();
    assert_eq!(fixture.accounts.authenticate(&created.key).await.unwrap(), None);
    let again = fixture.accounts.delete_api_key(&admin("acme"), "acme", &created.id).await;
    assert_eq!(slug(again), (404, "not-found"));
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
    let created = create(&fixture, "acme", Role::Runtime).await;
    let page = Page::new(None, None);
    assert_eq!(fixture.accounts.api_keys("acme", &page).await.unwrap().data[0].last_used_at, None);
    fixture.advance_by(1000).await;
    fixture.accounts.authenticate(&created.key).await.unwrap().unwrap();
    fixture.accounts.store_key_uses().await.unwrap();
    let used = fixture.accounts.api_keys("acme", &page).await.unwrap().data[0].last_used_at;
    assert_eq!(used, Some(Time(at(START) + 1000)));
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    for _ in 0..5 {
        create(&fixture, "acme", Role::Viewer).await;
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let list = fixture.accounts.api_keys("acme", &Page::new(Some(2), cursor)).await.unwrap();
        seen.extend(list.data.into_iter().map(|key| key.id));
        cursor = list.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((seen.len(), unique), (5, seen));
}
