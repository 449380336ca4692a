//! `odometer bill` on the command line.

use serde_json::{Value, json};

use crate::support::deployment::Deployment;

#[test]
fn bill_says_what_it_waits_for_and_how_it_fails() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("bill_command", &topics, &json!({}));
    for wrong in [&["bill"][..], &["bill", "--month", "2026-13"], &["bill", "--verify", "x", "--dry-run"]] {
        deployment.run(wrong).expect_code(2);
    }
    // Nothing was ever counted, so nothing is known to be whole.
    let told = deployment.run(&["bill", "--month", "2026-01"]).expect_code(0).stdout;
    assert!(told.contains("drafts only: region us has not counted every event of 2026-01 yet"), "{told}");
    assert!(told.contains("no organization gets an invoice"), "{told}");
    let json =
        deployment.run(&["bill", "--month", "2026-01", "--dry-run", "--output", "json"]).expect_code(0);
    let billed: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&billed["finalized"], &billed["dry_run"]), (&json!(false), &json!(true)));
    assert_eq!((&billed["month"], &billed["invoices"]), (&json!("2026-01"), &json!([])));
    let unknown = deployment.run(&["bill", "--verify", "2026-000001"]).expect_code(1).stderr;
    assert!(unknown.contains("invoice 2026-000001 does not exist"), "{unknown}");
    let nobody = deployment.run(&["bill", "--month", "2026-01", "--org", "nobody"]).expect_code(1).stderr;
    assert!(nobody.contains("organization nobody does not exist"), "{nobody}");
}
