use super::*;

use api_key::NewApiKey;
use clock::Time;
use tokio_util::sync::CancellationToken;

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

#[tokio::test]
async fn the_last_use_is_noted() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let created = create(&fixture, "acme", Role::Runtime).await;
    let last_use = async || {
        let listed = fixture.accounts.api_keys("acme", &Page::new(None, None)).await.unwrap();
        listed.data[0].last_used_at
    };
    assert_eq!(last_use().await, None);
    for later_ms in [1000, 2000] {
        fixture.advance_to(at(START) + later_ms).await;
        fixture.accounts.authenticate(&created.key).await.unwrap().unwrap();
        // Uses are written down now and then, and by whoever stops.
        let stop = CancellationToken::new();
        stop.cancel();
        fixture.accounts.run(stop).await;
        assert_eq!(last_use().await, Some(Time(at(START) + later_ms)));
    }
}
