use super::*;

use clock::Time;

#[tokio::test]
async fn a_license_is_renewed_thirty_days_before_its_end_whenever_that_is_noticed() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let accounts = &fixture.accounts;
    let keys = accounts.license_keys().await.unwrap();
    let first = accounts.license("acme").await.unwrap();
    let renewal = at("2027-10-02T09:00:00Z");
    fixture.advance_to(renewal - 1).await;
    let before = accounts.license("acme").await.unwrap();
    assert_eq!(
        before.verify(&keys, renewal).unwrap().license_key,
        first.verify(&keys, at(START)).unwrap().license_key
    );
    // Noticed a day late: the term still begins where it was due.
    fixture.advance_to(renewal + DAY_MS).await;
    let renewed = accounts.license("acme").await.unwrap().verify(&keys, renewal).unwrap();
    assert_eq!(renewed.license_creation_date, Time(renewal));
    assert_eq!(renewed.license_expiration_date, Time(at("2028-10-02T09:00:00Z")));
    let end = at("2027-11-01T09:00:00Z");
    assert!(first.verify(&keys, end - 1).is_ok());
    assert_eq!(first.verify(&keys, end), Err(license::LicenseError::Expired { at: Time(end) }));
}

#[tokio::test]
async fn ten_years_pass_in_one_step_and_nothing_is_left_out() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    fixture.advance_to(at("2036-11-01T09:00:00Z")).await;
    let events = fixture.events("acme").await;
    assert_eq!(events[..2], ["trial.ending 2026-11-28T09:00:00Z", "trial.ended 2026-12-01T09:00:00Z"]);
    assert_eq!(events[2], "license.renewed 2027-10-02T09:00:00Z");
    assert_eq!(events.len(), 2 + 10, "{events:?}");
    let keys = fixture.accounts.license_keys().await.unwrap();
    let license = fixture.accounts.license("acme").await.unwrap();
    assert!(license.verify(&keys, at("2036-11-01T09:00:00Z")).is_ok());
    assert_eq!(fixture.accounts.advance().await.unwrap(), 0, "everything is done");
    fixture.assert_log_is_whole().await;
}

#[tokio::test]
async fn what_is_due_is_done_once_by_two_at_a_time() {
    let fixture = Fixture::new().await;
    for number in 0..10 {
        fixture.sign_up(&format!("org-{number}")).await;
    }
    let other = Accounts::open(&fixture.settings).await.unwrap();
    // The clock moves under both, without either doing what is due.
    let sql = "UPDATE test_clock SET now_ms = $1, version = version + 1";
    let later = at(START) + 31 * DAY_MS;
    fixture.accounts.database().execute(sql, &[database::Value::from(later)]).await.unwrap();
    fixture.accounts.follow_test_clock().await.unwrap();
    other.follow_test_clock().await.unwrap();
    let (one, two) = tokio::join!(fixture.accounts.advance(), other.advance());
    assert_eq!(one.unwrap() + two.unwrap(), 20);
    for number in 0..10 {
        assert_eq!(fixture.events(&format!("org-{number}")).await.len(), 2);
    }
    fixture.assert_log_is_whole().await;
}

#[tokio::test]
async fn the_clock_never_goes_backwards_and_is_shared() {
    let fixture = Fixture::new().await;
    let other = Accounts::open(&fixture.settings).await.unwrap();
    assert_eq!(other.clock().now_ms(), at(START));
    let back = fixture.accounts.set_test_clock(&Caller::operator(), Time(at(START) - 1)).await;
    assert_eq!(slug(back), (409, "clock-backwards"));
    fixture.advance_by(5).await;
    other.follow_test_clock().await.unwrap();
    assert_eq!(other.clock().now_ms(), at(START) + 5);
    let mut settings = fixture.settings.clone();
    settings.test_clock = false;
    let system = Accounts::open(&settings).await.unwrap();
    let set = system.set_test_clock(&Caller::operator(), Time(at(START) + 10)).await;
    assert_eq!(slug(set), (409, "clock-not-test"));
}

#[tokio::test]
async fn a_rotated_key_signs_what_comes_and_the_old_one_stays_listed() {
    let fixture = Fixture::new().await;
    fixture.sign_up("old").await;
    let accounts = &fixture.accounts;
    let key = accounts.rotate_license_key(&Caller::operator()).await.unwrap();
    assert_eq!(key.version, "2");
    fixture.sign_up("new").await;
    let keys = accounts.license_keys().await.unwrap();
    let versions: Vec<&str> = keys.iter().map(|key| key.version.as_str()).collect();
    assert_eq!(versions, ["1", "2"]);
    for (id, version) in [("old", "1"), ("new", "2")] {
        let license = accounts.license(id).await.unwrap();
        assert_eq!(license.version, version);
        license.verify(&keys, at(START)).unwrap();
    }
    let mut forged = accounts.license("new").await.unwrap();
    forged.payload = forged.payload.replace("Plus", "Enterprise");
    assert_eq!(forged.verify(&keys, at(START)), Err(license::LicenseError::Signature));
    let unknown = license::License { version: "3".to_owned(), ..forged };
    assert!(matches!(unknown.verify(&keys, at(START)), Err(license::LicenseError::UnknownKey { .. })));
}
