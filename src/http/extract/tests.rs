use axum::http::HeaderValue;
use serde_json::{Value, json};

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is used")]
struct Body {
    name: String,
    regions: Vec<String>,
}

async fn document(problem: Problem) -> Value {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    let body = problem.into_response().into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_wrong_body_is_pointed_at() {
    let cases = [
        (r#"{"name":"Acme","regions":["us",1]}"#, "/regions/1"),
        (r#"{"name":1,"regions":[]}"#, "/name"),
        (r#"{"name":"Acme","regions":[],"a/b":1}"#, "/a~1b"),
        (r#"{"name":"Acme","regions":[]} x"#, ""),
        (r"[", ""),
        ("", ""),
    ];
    for (body, pointer) in cases {
        let problem = parse::<Body>(body.as_bytes()).unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.slug()), (400, "invalid-body"), "{body}");
        assert_eq!(document(problem).await["errors"][0]["pointer"], json!(pointer), "{body}");
    }
    assert!(parse::<Body>(br#"{"name":"Acme","regions":["us"]}"#).is_ok());
}

#[test]
fn bodies_are_json() {
    let allowed = |value: &'static str| {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        check_media_type(&headers).is_ok()
    };
    assert!(check_media_type(&HeaderMap::new()).is_ok());
    assert!(allowed("application/json"));
    assert!(allowed("Application/JSON; charset=utf-8"));
    assert!(allowed("application/merge-patch+json"));
    assert!(!allowed("text/plain"));
    assert!(!allowed("application/x-www-form-urlencoded"));
}
