//! The description at `/openapi.json` against what the API really does.

use serde_json::{Value, json};

use super::ledger::{calls, service};
use super::{Service, request};

async fn description(service: &Service) -> Value {
    let answer = service.send(request("GET", "/openapi.json", None)).await;
    assert_eq!(answer.status.as_u16(), 200);
    answer.json()
}

/// A validator of the schema that the description has for an answer.
fn validator(description: &Value, path: &str, status: &str, media_type: &str) -> jsonschema::Validator {
    let response = &description["paths"][path]["get"]["responses"][status]["content"][media_type]["schema"];
    assert!(response.is_object(), "{path} {status} {media_type} is not described");
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": description["components"],
        "allOf": [response],
    });
    jsonschema::validator_for(&schema).expect("a sound schema")
}

#[track_caller]
fn assert_valid(validator: &jsonschema::Validator, answer: &Value) {
    let errors: Vec<String> = validator.iter_errors(answer).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {answer}");
}

#[tokio::test]
async fn answers_are_as_described() {
    let api = Service::new("description").await;
    let services = [service("acme", "billing", "2026-11-05T00:00:00Z", true, true)];
    api.lane(0).live(1, &[calls("acme", 1)], &services).await;
    api.usage_once("acme", "/usage/api_calls", 1).await;
    let description = description(&api).await;
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["servers"][0]["url"], "http://127.0.0.1:8080");
    assert_eq!(description["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let (json_type, problem) = ("application/json", "application/problem+json");
    let cases = [
        ("/v1/organizations/{org}/usage", "/v1/organizations/acme/usage", "200", json_type),
        ("/v1/organizations/{org}/usage", "/v1/organizations/acme/usage?month=2026-01", "200", json_type),
        ("/v1/organizations/{org}/usage", "/v1/organizations/acme/usage?month=x", "400", problem),
        ("/v1/organizations/{org}/usage", "/v1/organizations/nobody/usage", "404", problem),
        ("/v1/organizations/{org}/usage/series", "/v1/organizations/acme/usage/series", "200", json_type),
        (
            "/v1/organizations/{org}/usage/series",
            "/v1/organizations/acme/usage/series?limit=0",
            "400",
            problem,
        ),
        ("/v1/organizations/{org}/usage/stream", "/v1/organizations/nobody/usage/stream", "404", problem),
        ("/healthz", "/healthz", "200", json_type),
        ("/readyz", "/readyz", "200", json_type),
    ];
    for (path, request, status, media_type) in cases {
        let answer = api.get(request).await;
        assert_eq!(answer.status.as_str(), status, "{request}");
        assert_valid(&validator(&description, path, status, media_type), &answer.json());
    }
    // The schema can fail.
    let mut wrong = api.get("/v1/organizations/acme/usage").await.json();
    wrong["usage"]["api_calls"] = "1".into();
    let usage = validator(&description, "/v1/organizations/{org}/usage", "200", json_type);
    assert!(!usage.is_valid(&wrong));
    wrong = api.get("/v1/organizations/acme/usage").await.json();
    wrong.as_object_mut().unwrap().remove("plan");
    assert!(!usage.is_valid(&wrong), "null is not the same as absent");
}

#[tokio::test]
async fn every_described_route_is_there_and_is_guarded_as_described() {
    let api = Service::new("description_routes").await;
    let description = description(&api).await;
    let paths = description["paths"].as_object().unwrap();
    for expected in [
        "/v1/organizations/{org}/usage",
        "/v1/organizations/{org}/usage/series",
        "/v1/organizations/{org}/usage/stream",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ] {
        assert!(paths.contains_key(expected), "{expected}");
    }
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let open = operation["security"] == json!([{}]);
            let place = path.replace(['{', '}'], "");
            let answer = api.send(request(&method.to_uppercase(), &place, None)).await;
            if open {
                assert_eq!(answer.status.as_u16(), 200, "{method} {path}");
            } else if operation["security"][0]["signature"].is_array() {
                // Here, without a secret to check signatures by, it is not served.
                assert_eq!(answer.status.as_u16(), 404, "{method} {path}");
            } else {
                assert_eq!(
                    (answer.status.as_u16(), &*answer.problem()),
                    (401, "unauthorized"),
                    "{method} {path}"
                );
            }
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        }
    }
}
