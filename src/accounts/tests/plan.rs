use super::*;

use clock::Time;
use event::Plan;
use organization::{RegionsRequest, SignUp};
use serde_json::{Value as Json, json};

#[tokio::test]
async fn a_sign_up_begins_a_trial_of_thirty_days_with_a_license() {
    let fixture = Fixture::new().await;
    let answer = fixture.sign_up("acme").await;
    assert_eq!(
        serde_json::to_value(&answer).unwrap(),
        json!({
            "id": "acme", "name": "acme Ltd", "email": "billing@acme.example", "plan": "plus",
            "trial": { "ends_at": "2026-12-01T09:00:00Z", "then": "free" },
            "regions": ["us"], "home_region": "us", "status": "trialing", "payment_method_required": true,
            "created_at": "2026-11-01T09:00:00Z",
        })
    );
    let keys = fixture.accounts.license_keys().await.unwrap();
    let license = fixture.accounts.license("acme").await.unwrap();
    let payload = license.verify(&keys, at(START)).unwrap();
    assert_eq!(payload.product_subscription, "Plus");
    assert_eq!(payload.license_expiration_date, Time(at("2027-11-01T09:00:00Z")));
    let again = fixture.accounts.sign_up(&Caller::operator(), &sign_up("acme")).await;
    assert_eq!(slug(again), (409, "organization-exists"));
    fixture.assert_log_is_whole().await;
}

#[tokio::test]
async fn an_id_is_made_where_none_is_given() {
    let fixture = Fixture::new().await;
    let request = SignUp { id: None, ..sign_up("acme") };
    let first = fixture.accounts.sign_up(&Caller::operator(), &request).await.unwrap();
    let second = fixture.accounts.sign_up(&Caller::operator(), &request).await.unwrap();
    assert!(is_organization_id(&first.id), "{}", first.id);
    assert_ne!(first.id, second.id);
}

#[test]
fn ids_have_few_characters() {
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    for id in ["a", "Z", "0", ".", "_", ":", "-", "A.b_c:d-9", &longest] {
        assert!(is_organization_id(id), "{id}");
    }
    for id in ["", &too_long, "a b", "a/b", "a%20b", "a\n", "a\0", "\u{e4}", "a@b", "a,b", "'", "*"] {
        assert!(!is_organization_id(id), "{id:?}");
    }
}

#[tokio::test]
async fn all_mistakes_of_a_sign_up_are_told_at_once() {
    let fixture = Fixture::new().await;
    let request = SignUp {
        id: Some("a b".to_owned()),
        name: " ".to_owned(),
        email: "nobody".to_owned(),
        region: "US East".to_owned(),
    };
    let error = fixture.accounts.sign_up(&Caller::operator(), &request).await.unwrap_err();
    let AccountError::Invalid { errors } = &error else { panic!("{error}") };
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/id", "/name", "/email", "/region"]);
    assert_eq!((error.status(), error.slug()), (422, "invalid-request"));
}

#[tokio::test]
async fn the_plan_is_plus_until_exactly_the_trials_end() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let end = at("2026-12-01T09:00:00Z");
    fixture.advance_to(end - 1).await;
    assert_eq!(fixture.plan("acme").await, Plan::Plus);
    fixture.advance_to(end).await;
    let answer = fixture.accounts.organization("acme").await.unwrap();
    assert_eq!((answer.plan, answer.trial, answer.status), (Plan::Free, None, Status::Active));
    assert!(!answer.payment_method_required);
    assert_eq!(
        fixture.events("acme").await,
        ["trial.ending 2026-11-28T09:00:00Z", "trial.ended 2026-12-01T09:00:00Z"]
    );
    let license = fixture.accounts.license("acme").await.unwrap();
    let keys = fixture.accounts.license_keys().await.unwrap();
    let payload = license.verify(&keys, end).unwrap();
    assert_eq!(payload.product_subscription, "Free");
    assert_eq!(payload.license_expiration_date, Time(at("2027-11-01T09:00:00Z")), "the term stays");
}

#[tokio::test]
async fn plus_follows_a_trial_where_it_was_chosen_with_a_payment_method() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    assert_eq!(slug(fixture.set_plan("acme", Plan::Plus).await), (402, "payment-method-required"));
    fixture.add_card("acme").await;
    let chosen = fixture.set_plan("acme", Plan::Plus).await.unwrap();
    assert_eq!(chosen.trial.map(|trial| trial.then), Some(Plan::Plus), "the trial goes on");
    fixture.advance_to(at("2026-12-01T09:00:00Z")).await;
    assert_eq!(fixture.plan("acme").await, Plan::Plus);
    let account = fixture.accounts.account("acme").await.unwrap();
    let bounds: Vec<_> = account.periods.iter().map(|p| (p.plan, p.trial, p.from_ms, p.to_ms)).collect();
    let end = at("2026-12-01T09:00:00Z");
    assert_eq!(bounds, [(Plan::Plus, true, at(START), Some(end)), (Plan::Plus, false, end, None)]);
}

#[tokio::test]
async fn a_payment_method_alone_chooses_nothing() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    fixture.add_card("acme").await;
    fixture.advance_to(at("2026-12-01T09:00:00Z")).await;
    assert_eq!(fixture.plan("acme").await, Plan::Free);
}

#[tokio::test]
async fn a_cancel_is_free_at_once_and_the_trial_does_not_come_back() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    fixture.advance_by(DAY_MS).await;
    let cancelled = fixture.accounts.cancel_plan(&admin("acme"), "acme").await.unwrap();
    assert_eq!((cancelled.plan, cancelled.trial), (Plan::Free, None));
    fixture.add_card("acme").await;
    fixture.advance_by(DAY_MS).await;
    let upgraded = fixture.set_plan("acme", Plan::Plus).await.unwrap();
    assert_eq!((upgraded.plan, upgraded.trial), (Plan::Plus, None));
    fixture.advance_by(60 * DAY_MS).await;
    assert_eq!(fixture.plan("acme").await, Plan::Plus);
    assert_eq!(
        fixture.events("acme").await,
        ["plan.changed 2026-11-02T09:00:00Z", "plan.changed 2026-11-03T09:00:00Z"],
        "no notice of a trial that was cancelled"
    );
}

#[tokio::test]
async fn enterprise_is_the_operators_alone() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    assert_eq!(slug(fixture.set_plan("acme", Plan::Enterprise).await), (403, "contact-sales"));
    let operator = Caller::operator();
    let regions = regions_of(&["us", "eu"]);
    let early = fixture.accounts.set_regions(&operator, "acme", &regions).await;
    assert_eq!(slug(early), (403, "contact-sales"));
    fixture.accounts.set_plan(&operator, "acme", Plan::Enterprise).await.unwrap();
    let own = fixture.accounts.set_regions(&admin("acme"), "acme", &regions).await;
    assert_eq!(slug(own), (403, "contact-sales"));
    let answer = fixture.accounts.set_regions(&operator, "acme", &regions).await.unwrap();
    assert_eq!(answer.regions, regions.regions);
    for plan in [Plan::Free, Plan::Plus, Plan::Enterprise] {
        assert_eq!(slug(fixture.set_plan("acme", plan).await), (403, "contact-sales"), "{plan}");
    }
    assert_eq!(slug(fixture.accounts.cancel_plan(&admin("acme"), "acme").await), (403, "contact-sales"));
    let down = fixture.accounts.set_plan(&operator, "acme", Plan::Free).await;
    assert_eq!(slug(down), (409, "too-many-regions"));
    fixture.accounts.set_regions(&operator, "acme", &regions_of(&["us"])).await.unwrap();
    let plus = fixture.accounts.set_plan(&operator, "acme", Plan::Plus).await;
    assert_eq!(slug(plus), (402, "payment-method-required"));
    let down = fixture.accounts.set_plan(&operator, "acme", Plan::Free).await.unwrap();
    assert_eq!(down.plan, Plan::Free);
    fixture.assert_log_is_whole().await;
}

#[tokio::test]
async fn regions_are_checked() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    for regions in [vec![], vec!["us", "us"], vec!["US"], vec![""]] {
        let request = regions_of(&regions);
        let result = fixture.accounts.set_regions(&Caller::operator(), "acme", &request).await;
        assert_eq!(slug(result), (422, "invalid-request"), "{regions:?}");
    }
    let request = RegionsRequest { home_region: Some("EU".to_owned()), ..regions_of(&["us"]) };
    let result = fixture.accounts.set_regions(&Caller::operator(), "acme", &request).await;
    assert_eq!(slug(result), (422, "invalid-request"));
}

/// A home that was taken wrong is mended by the operator, who finds that in the log.
#[tokio::test]
async fn the_operator_sets_another_home() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let moved = RegionsRequest { home_region: Some("eu".to_owned()), ..regions_of(&["us"]) };
    let own = fixture.accounts.set_regions(&admin("acme"), "acme", &moved).await;
    assert_eq!(slug(own), (403, "contact-sales"));
    let answer = fixture.accounts.set_regions(&Caller::operator(), "acme", &moved).await.unwrap();
    assert_eq!((answer.regions, answer.home_region.as_deref()), (vec!["us".to_owned()], Some("eu")));
    let sql = "SELECT before, after FROM audit_log WHERE action = 'regions.changed'";
    let rows = fixture.accounts.database().fetch_all(sql, &[]).await.unwrap();
    let said = |column| -> Json { serde_json::from_str(rows[0].text(column).unwrap()).unwrap() };
    assert_eq!(said(0), json!({ "regions": ["us"], "home_region": "us" }));
    assert_eq!(said(1), json!({ "regions": ["us"], "home_region": "eu" }));
    // It stays where none is asked for.
    let stays =
        fixture.accounts.set_regions(&Caller::operator(), "acme", &regions_of(&["au"])).await.unwrap();
    assert_eq!(stays.home_region.as_deref(), Some("eu"));
    fixture.assert_log_is_whole().await;
}

fn regions_of(regions: &[&str]) -> RegionsRequest {
    RegionsRequest { regions: regions.iter().map(|&region| region.to_owned()).collect(), home_region: None }
}

#[tokio::test]
async fn roles_and_foreign_organizations_are_kept_out() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    for role in [Role::Viewer, Role::Runtime] {
        let caller = key_of("acme", role);
        let accounts = &fixture.accounts;
        assert_eq!(slug(accounts.set_plan(&caller, "acme", Plan::Free).await), (403, "role"));
        assert_eq!(slug(accounts.request_sales(&caller, "acme", "hello").await), (403, "role"));
        assert_eq!(slug(accounts.add_payment_method(&caller, "acme", &card()).await), (403, "role"));
        assert_eq!(slug(accounts.set_regions(&caller, "acme", &regions_of(&[])).await), (403, "role"));
        assert_eq!(slug(accounts.set_test_clock(&caller, Time(i64::MAX)).await), (403, "role"));
        assert_eq!(slug(accounts.sign_up(&caller, &sign_up("x")).await), (403, "role"));
    }
    let foreign = fixture.accounts.set_plan(&admin("other"), "acme", Plan::Free).await;
    assert_eq!(slug(foreign), (404, "organization-not-found"));
    let nobody = fixture.accounts.set_plan(&Caller::operator(), "nobody", Plan::Free).await;
    assert_eq!(slug(nobody), (404, "organization-not-found"));
}

#[tokio::test]
async fn a_sales_request_is_kept_for_the_operator() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let answer = fixture.accounts.request_sales(&admin("acme"), "acme", "two regions, please").await.unwrap();
    let list = fixture.accounts.outbox(outbox::Channel::Sales, &Page::new(None, None)).await.unwrap();
    assert_eq!(list.data.len(), 1);
    assert_eq!(list.data[0].id, answer.id);
    assert_eq!(list.data[0].data["message"], "two regions, please");
    assert_eq!(list.data[0].data["organization"], "acme");
}
