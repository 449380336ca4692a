use super::*;

use clock::Time;
use portal_session::{CreatedPortalSession, SessionHolder};

const LINK: &str = "https://odometer.example/organizations/acme/billing?session=";

async fn open(fixture: &Fixture, caller: &Caller) -> CreatedPortalSession {
    fixture.accounts.open_portal_session(caller, "acme", LINK).await.expect("a session")
}

fn token(session: &CreatedPortalSession) -> String {
    session.url.strip_prefix(LINK).expect("a link").to_owned()
}

async fn key(fixture: &Fixture, role: Role) -> (String, Caller) {
    let request = api_key::NewApiKey { role, name: "portal".to_owned() };
    let key = fixture.accounts.create_api_key(&Caller::operator(), "acme", &request).await.unwrap();
    let actor = Actor::Key { id: key.id.clone(), organization: "acme".to_owned(), role };
    (key.id, Caller { actor, idempotency: None })
}

#[tokio::test]
async fn a_session_has_the_role_of_who_opened_it_for_an_hour() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let (_, viewer) = key(&fixture, Role::Viewer).await;
    for (caller, role) in [(Caller::operator(), Role::Admin), (viewer, Role::Viewer)] {
        let session = open(&fixture, &caller).await;
        assert_eq!(session.expires_at, Time(fixture.accounts.clock().now_ms() + 3_600_000));
        let signed_in = fixture.accounts.signed_in(&token(&session)).await.unwrap().expect("signed in");
        let holder = SessionHolder::Member { organization: "acme".to_owned(), role };
        assert_eq!((signed_in.holder, signed_in.id), (holder, session.id.clone()));
    }
    let mut wrong = token(&open(&fixture, &Caller::operator()).await);
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    for token in [wrong.as_str(), "", "ops_", "ops__", "odo_x_y", "ops_x_ä0123456789012345678901234567890"] {
        assert_eq!(fixture.accounts.signed_in(token).await.unwrap(), None, "{token}");
    }
    let session = open(&fixture, &Caller::operator()).await;
    fixture.advance_by(3_599_999).await;
    assert!(fixture.accounts.signed_in(&token(&session)).await.unwrap().is_some());
    fixture.advance_by(1).await;
    assert_eq!(fixture.accounts.signed_in(&token(&session)).await.unwrap(), None);
    fixture.assert_log_is_whole().await;
}

#[tokio::test]
async fn what_was_never_given_out_is_known_without_the_database() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let one = token(&open(&fixture, &Caller::operator()).await);
    let other = token(&open(&fixture, &Caller::operator()).await);
    let (head, _) = one.rsplit_once('_').expect("a secret");
    let (_, secret) = other.rsplit_once('_').expect("a secret");
    fixture.accounts.close().await;
    // Another session's secret, and one of the right length.
    for guess in [format!("{head}_{secret}"), format!("{head}_{}", "0".repeat(secret.len()))] {
        assert_eq!(fixture.accounts.signed_in(&guess).await.unwrap(), None, "{guess}");
    }
    fixture.accounts.signed_in(&one).await.expect_err("it is looked up, in a database that is closed");
}

#[tokio::test]
async fn a_session_ends_when_it_is_revoked_or_signed_out_or_with_its_key() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let accounts = &fixture.accounts;
    let (id, viewer) = key(&fixture, Role::Viewer).await;
    let (revoked, left, keyed) = (
        open(&fixture, &Caller::operator()).await,
        open(&fixture, &Caller::operator()).await,
        open(&fixture, &viewer).await,
    );
    assert_eq!(accounts.portal_sessions("acme", &Page::new(None, None)).await.unwrap().data.len(), 3);
    let refused = accounts.revoke_portal_session(&viewer, "acme", &revoked.id).await;
    assert_eq!(slug(refused), (403, "role"));
    accounts.revoke_portal_session(&admin("acme"), "acme", &revoked.id).await.unwrap();
    let again = accounts.revoke_portal_session(&admin("acme"), "acme", &revoked.id).await;
    assert_eq!(slug(again), (404, "not-found"));
    // Another process, which has its directory in memory.
    let elsewhere = Accounts::open(&fixture.settings).await.unwrap();
    elsewhere.load_directory().await.unwrap();
    for session in [&left, &keyed] {
        assert!(elsewhere.signed_in(&token(session)).await.unwrap().is_some(), "{session:?}");
    }
    let signed_in = accounts.signed_in(&token(&left)).await.unwrap().expect("signed in");
    // A second time, as by a form that is sent twice, changes nothing.
    for _ in 0..2 {
        accounts.sign_out(&viewer, &signed_in).await.unwrap();
    }
    accounts.delete_api_key(&admin("acme"), "acme", &id).await.unwrap();
    for session in [revoked, left, keyed] {
        for process in [accounts.as_ref(), &elsewhere] {
            assert_eq!(process.signed_in(&token(&session)).await.unwrap(), None, "{session:?}");
        }
    }
    assert!(accounts.portal_sessions("acme", &Page::new(None, None)).await.unwrap().data.is_empty());
    let sql = "SELECT action, organization FROM audit_log
               WHERE action LIKE 'portal-session.%' ORDER BY sequence";
    let logged = accounts.database().fetch_all(sql, &[]).await.unwrap();
    let actions: Vec<&str> = logged.iter().map(|row| row.text(0).unwrap()).collect();
    let opened = "portal-session.opened";
    let ended = ["portal-session.revoked", "portal-session.signed-out"];
    assert_eq!(actions, [[opened, opened, opened].as_slice(), ended.as_slice()].concat());
    assert!(logged.iter().all(|row| row.text(1).unwrap() == "acme"));
}

#[tokio::test]
async fn only_who_may_look_opens_a_session() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    fixture.sign_up("other").await;
    let open = async |caller: Caller| slug(fixture.accounts.open_portal_session(&caller, "acme", LINK).await);
    assert_eq!(open(key_of("acme", Role::Runtime)).await, (403, "role"));
    assert_eq!(open(admin("other")).await, (404, "organization-not-found"));
    let operator = fixture.accounts.open_operator_session(&admin("acme"), LINK).await;
    assert_eq!(slug(operator), (403, "role"));
    let session = fixture.accounts.open_operator_session(&Caller::operator(), LINK).await.unwrap();
    let signed_in = fixture.accounts.signed_in(&token(&session)).await.unwrap().expect("signed in");
    assert_eq!(signed_in.holder, SessionHolder::Operator);
    assert!(Accounts::is_form_token(&signed_in, &signed_in.form_token));
    assert!(!Accounts::is_form_token(&signed_in, ""));
}
