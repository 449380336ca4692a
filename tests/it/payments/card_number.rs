//! A card number that is sent is refused, and stands nowhere: not in the database, not in the log,
//! not with the payment provider.

use std::time::Duration;

use serde_json::{Value, json};

use super::books::Books;
use super::face::{Face, SECRET_KEY};
use crate::support::deployment::Deployment;
use crate::support::wait::wait_until;

const NUMBERS: [&str; 4] =
    ["4242424242424242", "4000 0566 5566 5556", "3782-822463-10005", "5555.5555.5555.4444"];

fn requests(number: &str) -> Vec<Value> {
    let method = |token: &str, brand: &str| json!({ "token": token, "brand": brand, "last4": "4242", "exp": "11/2028" });
    vec![
        method(number, "visa"),
        method(&format!("tok_{number}"), "visa"),
        method("tok_ok", number),
        json!({ "card": { "number": number, "cvc": "123" }, "token": "tok_ok" }),
        json!([number]),
    ]
}

#[test]
fn a_card_number_is_refused_and_found_nowhere() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let books = runtime.block_on(Books::on_sqlite());
    let (face, url) = runtime.block_on(Face::serve(&books.accounts));
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let changes = json!({ "payments": { "provider": "stripe", "secret_key": SECRET_KEY, "base_url": url } });
    let deployment = Deployment::new("card_number", &topics, &changes);
    let serve = deployment.start_with("serve", &["serve"], &[("ODOMETER_LOG", "trace")]);
    let http = deployment.http();
    wait_until("serve is ready", Duration::from_secs(60), || http.get_ok("/readyz"));
    let sign_up = json!({ "id": "acme", "name": "Acme", "email": "a@acme.example", "region": "us" });
    assert_eq!(http.post("/v1/organizations", &sign_up).expect("an answer").0, 201);
    let path = "/v1/organizations/acme/payment-methods";
    for number in NUMBERS {
        for request in requests(number) {
            let (status, answer) = http.post(path, &request).expect("an answer");
            assert_eq!((status, &answer["type"]), (422, &json!("card-number-refused")), "{request}");
            assert!(!answer.to_string().contains(&number[..8]), "{answer}");
        }
    }
    let good = json!({ "token": "pm_ok", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    assert_eq!(http.post(path, &good).expect("an answer").0, 201);
    assert_eq!(face.requests("/v1/payment_methods/").len(), 1, "only the last was sent on");
    serve.stop(Duration::from_secs(30));
    let mut searched = Vec::new();
    for file in
        std::fs::read_dir(deployment.folder()).expect("list").map(|entry| entry.expect("an entry").path())
    {
        if !file.is_file() {
            continue;
        }
        let bytes = std::fs::read(&file).expect("read");
        for number in NUMBERS {
            let found = bytes.windows(number.len()).any(|window| window == number.as_bytes());
            assert!(!found, "{} holds {number}", file.display());
        }
        searched.push(file.file_name().expect("a name").to_string_lossy().into_owned());
    }
    assert!(
        searched.iter().any(|name| name == "serve.log") && searched.iter().any(|name| name == "odometer.db"),
        "{searched:?}"
    );
}
