//! The pages without a browser: who gets in, what forms may do, and what every page is guarded by.

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use serde_json::{Value, json};

use super::database::{Database, on_both_databases};
use super::world::{TOKEN, Text, World, calls, services};

on_both_databases! {
    a_link_becomes_a_cookie_that_opens_one_page_until_it_is_over,
    cookies_are_kept_from_scripts_and_from_other_sites,
    a_form_is_taken_only_from_the_sessions_own_page_and_only_from_an_admin,
    the_page_shows_what_the_api_says,
    the_operators_page_opens_with_the_operators_token_alone,
    who_guesses_has_to_wait_and_who_is_right_does_not,
}

const PAGE: &str = "/organizations/acme/billing";

async fn world(database: Database, test: &str) -> (World, tempfile::TempDir) {
    let (url, folder) = database.create(test).await;
    let world = World::new(test, url).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    for organization in ["acme", "other"] {
        world.sign_up(organization).await;
    }
    (world, folder)
}

/// Somebody's browser: it keeps one cookie.
struct Browser<'a> {
    world: &'a World,
    cookie: String,
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, cookie: String::new() }
    }

    /// Follows a link of a portal session to the page.
    async fn sign_in(world: &'a World, token: &str, organization: &str) -> Self {
        let mut browser = Self::new(world);
        let path = format!("/v1/organizations/{organization}/portal-sessions");
        let session = world.call(token, "POST", &path, None).await.good();
        let answer = browser.get(&path_of(&session)).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        assert_eq!(answer.header("location"), format!("/organizations/{organization}/billing"));
        browser
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: Body) -> Text {
        let cookie = HeaderValue::from_str(&self.cookie).expect("a cookie");
        let answer =
            self.world.fetch(request.header(header::COOKIE, cookie).body(body).expect("a request")).await;
        let set = answer.header("set-cookie");
        if let Some(pair) = set.split(';').next().filter(|pair| !pair.is_empty()) {
            self.cookie = pair.to_owned();
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Text {
        self.send(Request::get(path), Body::empty()).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Text {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, Body::from(form.to_owned())).await
    }

    /// Sends a form as the page's own would.
    async fn submit(&mut self, path: &str, form: &str) -> Text {
        let page = self.get(PAGE).await.text();
        let (_, rest) = page.split_once(r#"name="form_token" value=""#).expect("a form");
        let (token, _) = rest.split_once('"').expect("a value");
        self.post(path, &format!("{form}&form_token={token}")).await
    }
}

fn path_of(session: &Value) -> String {
    let url = session["url"].as_str().expect("a link");
    url.strip_prefix("https://odometer.example").expect("a link of ours").to_owned()
}

async fn a_link_becomes_a_cookie_that_opens_one_page_until_it_is_over(database: Database) {
    let (world, _folder) = world(database, "pages_sign_in").await;
    let anonymous = Browser::new(&world).get(PAGE).await;
    assert_eq!(anonymous.status, 401);
    assert!(anonymous.text().contains("Sign in to see this page"));

    let mut browser = Browser::sign_in(&world, TOKEN, "acme").await;
    let page = browser.get(PAGE).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let html = page.text();
    assert!(!html.contains(" style=") && !html.contains(" onclick="), "nothing is inline");
    assert!(!html.contains("session=ops_"), "the token is in no page");
    for foreign in ["/organizations/other/billing", "/organizations/nobody/billing"] {
        assert_eq!(browser.get(foreign).await.status, 404, "{foreign}");
    }

    // The stream of the API takes the cookie, nothing else does.
    assert_eq!(browser.get("/v1/organizations/acme/usage").await.status, 401);
    let (status, _) =
        world.status_of(with_cookie("/v1/organizations/acme/usage/stream", &browser.cookie)).await;
    assert_eq!(status, 200);
    let (status, _) =
        world.status_of(with_cookie("/v1/organizations/other/usage/stream", &browser.cookie)).await;
    assert_eq!(status, 404);

    world.set_clock("2026-11-01T10:00:00Z").await;
    assert_eq!(browser.get(PAGE).await.status, 401, "an hour later it is over");
}

fn with_cookie(path: &str, cookie: &str) -> Request<Body> {
    Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).expect("a request")
}

async fn cookies_are_kept_from_scripts_and_from_other_sites(database: Database) {
    let (world, _folder) = world(database, "pages_cookies").await;
    let path = "/v1/organizations/acme/portal-sessions";
    let session = world.call(TOKEN, "POST", path, None).await.good();
    assert_eq!((&session["role"], &session["expires_at"]), (&json!("admin"), &json!("2026-11-01T10:00:00Z")));
    let answer = Browser::new(&world).get(&path_of(&session)).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-odometer-portal=ops_"), "{cookie}");
    for attribute in ["Path=/", "HttpOnly", "SameSite=Strict", "Secure"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{attribute} {cookie}");
    }
    // Somebody who comes from another site's link takes one step more, or the cookie stayed behind.
    let request = Request::get(path_of(&session)).header("sec-fetch-site", "cross-site");
    let step = world.fetch(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(step.status, 200);
    assert!(step.header("set-cookie").starts_with("__Host-odometer-portal="));
    assert!(step.text().contains(r#"content="0; url=/organizations/acme/billing""#));

    let foreign = path_of(&session).replace("/acme/", "/other/");
    assert_eq!(Browser::new(&world).get(&foreign).await.status, 404);
    let revoked = format!("{path}/{}", session["id"].as_str().expect("an id"));
    assert_eq!(world.call(TOKEN, "DELETE", &revoked, None).await.status.as_u16(), 204);
    let over = Browser::new(&world).get(&path_of(&session)).await;
    assert_eq!(over.status, 401);
    assert!(over.text().contains("no longer valid"));
}

async fn a_form_is_taken_only_from_the_sessions_own_page_and_only_from_an_admin(database: Database) {
    let (world, _folder) = world(database, "pages_forms").await;
    let mut admin = Browser::sign_in(&world, &world.new_key("acme", "admin").await, "acme").await;
    let plan = format!("{PAGE}/plan");
    for forged in ["plan=free", "plan=free&form_token=", "plan=free&form_token=00"] {
        assert_eq!(admin.post(&plan, forged).await.status, 403, "{forged}");
    }
    let needed = admin.submit(&plan, "plan=plus").await;
    assert_eq!(needed.status, 402);
    assert!(needed.text().contains("First, a payment method"), "{}", needed.text());

    let methods = format!("{PAGE}/payment-methods");
    let added = admin.submit(&methods, "card=visa&then=plus").await;
    assert_eq!((added.status, added.header("location")), (303, &*format!("{PAGE}/plan/plus")));
    let card = admin.submit(&methods, "token=4242424242424242&brand=visa&last4=4242&exp=11%2F2028").await;
    assert_eq!(card.status, 422);
    assert!(!card.text().contains("4242424242424242"));
    let chosen = admin.submit(&plan, "plan=plus").await;
    assert_eq!((chosen.status, chosen.header("location")), (303, &*format!("{PAGE}?done=plus")));
    assert_eq!(world.get("/v1/organizations/acme").await.good()["trial"]["then"], "plus");

    let mut viewer = Browser::sign_in(&world, &world.new_key("acme", "viewer").await, "acme").await;
    let page = viewer.get(PAGE).await.text();
    assert!(page.contains("View only") && !page.contains("Go to Free now"), "{page}");
    assert_eq!(viewer.get(&format!("{PAGE}/plan/free")).await.status, 403);
    let refused = viewer.submit(&plan, "plan=free").await;
    assert_eq!(refused.status, 403);
    assert_eq!(world.get("/v1/organizations/acme").await.good()["trial"]["then"], "plus");

    let asked = admin.submit(&format!("{PAGE}/sales-requests"), "message=A+second+region").await;
    assert_eq!(asked.header("location"), format!("{PAGE}?done=asked"));
    let requests = world.get("/v1/sales-requests").await.good();
    assert_eq!(requests["data"][0]["data"]["message"], "A second region");
    let left = admin.submit(&format!("{PAGE}/sign-out"), "").await;
    assert_eq!(left.status, 303);
    assert!(left.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(admin.get(PAGE).await.status, 401);
    assert_eq!(signed_out(&world).await, 1);
}

/// Sign-outs that the account log tells of.
async fn signed_out(world: &World) -> i64 {
    let sql = "SELECT COUNT(*) FROM audit_log WHERE action = 'portal-session.signed-out'";
    let row = world.accounts.database().fetch_optional(sql, &[]).await.expect("read the log");
    row.expect("a count").integer(0).expect("a number")
}

async fn the_page_shows_what_the_api_says(database: Database) {
    let (mut world, _folder) = world(database, "pages_figures").await;
    world
        .publish(
            &[calls("acme", "2026-11-01T09:30:00Z", 1_200_345)],
            &services("acme", "2026-11-01T09:10:00Z", 3),
        )
        .await;
    world.once("/v1/organizations/acme/usage", "/usage/api_calls", 1_200_345).await;
    let mut browser = Browser::sign_in(&world, TOKEN, "acme").await;
    let page = browser.get(PAGE).await.text();
    for shown in ["1,200,345", "30 days", "No charge", "1 Nov: 1,200,345 API calls", "November 2026"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    browser.submit(&format!("{PAGE}/payment-methods"), "card=visa").await;
    browser.submit(&format!("{PAGE}/plan"), "plan=plus").await;
    world.set_clock("2026-12-05T09:00:00Z").await;
    let mut browser = Browser::sign_in(&world, TOKEN, "acme").await;
    let usage = world.once("/v1/organizations/acme/usage", "/usage/services", 3).await;
    let amount = usage["estimated_cost"]["amount"].as_str().expect("an amount");
    let page = browser.get(PAGE).await.text();
    assert!(page.contains(&format!(r#"<data value="{amount}">${amount}</data>"#)), "{amount}: {page}");
    // Cancelling says beforehand what it will cost.
    let question = browser.get(&format!("{PAGE}/plan/free")).await;
    assert_eq!(question.status, 200);
    assert!(question.text().contains("for what was used on Plus until now"), "{}", question.text());
    browser.submit(&format!("{PAGE}/plan"), "plan=free").await;
    assert_eq!(world.get("/v1/organizations/acme").await.good()["plan"], "free");
    // To Enterprise leads no form.
    assert_eq!(browser.get(&format!("{PAGE}/plan/enterprise")).await.status, 404);
    world.operator("PUT", "/v1/organizations/acme/plan", json!({ "plan": "enterprise" })).await.good();
    let page = browser.get(PAGE).await.text();
    assert!(page.contains("By agreement") && page.contains("Write to sales"), "{page}");
    assert!(!page.contains("Payment methods"), "{page}");
    let (status, whole) = (browser.get("/assets/nothing.css").await.status, page.len());
    assert_eq!(status, 404);
    assert!(whole < 40_000, "{whole} bytes");
}

async fn the_operators_page_opens_with_the_operators_token_alone(database: Database) {
    let (mut world, _folder) = world(database, "pages_operator").await;
    world.publish(&[calls("acme", "2026-11-01T09:30:00Z", 1_200_345)], &[]).await;
    world.once("/v1/organizations/acme/usage", "/usage/api_calls", 1_200_345).await;
    let message = json!({ "message": "A second region" });
    world.operator("POST", "/v1/organizations/acme/sales-requests", message).await.good();
    let mut browser = Browser::new(&world);
    assert_eq!(browser.get("/operator").await.status, 401);
    let wrong = browser.post("/operator/sign-in", "token=guess").await;
    assert_eq!((wrong.status, browser.cookie.as_str()), (401, ""));
    let right = browser.post("/operator/sign-in", &format!("token={TOKEN}")).await;
    assert_eq!((right.status, right.header("location")), (303, "/operator"));
    assert!(right.header("set-cookie").starts_with("__Host-odometer-operator=ops_"));
    let page = browser.get("/operator").await.text();
    for shown in ["acme Ltd", "1,200,345", "events[0]", "A second region", "billing@acme.example"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // The operator reaches every organization's page; a member's session does not reach the operator's.
    assert_eq!(browser.get(PAGE).await.status, 200);
    let mut member = Browser::sign_in(&world, TOKEN, "acme").await;
    assert_eq!(member.get("/operator").await.status, 401);

    let session = world.call(TOKEN, "POST", "/v1/operator-sessions", None).await.good();
    let mut linked = Browser::new(&world);
    assert_eq!(linked.get(&path_of(&session)).await.header("location"), "/operator");
    assert_eq!(linked.post("/operator/sign-out", "form_token=forged").await.status, 403);
    let page = linked.get("/operator").await.text();
    let (_, rest) = page.split_once(r#"name="form_token" value=""#).expect("a form");
    let (token, _) = rest.split_once('"').expect("a value");
    assert_eq!(linked.post("/operator/sign-out", &format!("form_token={token}")).await.status, 303);
    assert_eq!(linked.get("/operator").await.status, 401);
    assert_eq!(signed_out(&world).await, 1);
}

async fn who_guesses_has_to_wait_and_who_is_right_does_not(database: Database) {
    let (world, _folder) = world(database, "pages_guessing").await;
    let mut browser = Browser::new(&world);
    let guesses = ["/operator?session=ops_guess", "/organizations/acme/billing?session=ops_guess"];
    assert_eq!(browser.post("/operator/sign-in", "token=guess").await.status, 401);
    assert_eq!(browser.get(guesses[0]).await.status, 401);
    // One is forgotten a second: guessing goes on until there are too many.
    let mut limited = async || {
        for _ in 0..1000 {
            if browser.post("/operator/sign-in", "token=guess").await.status == 429
                && browser.get(guesses[0]).await.status == 429
                && browser.get(guesses[1]).await.status == 429
            {
                return true;
            }
        }
        false
    };
    assert!(limited().await);
    // Others come from the same address: behind a proxy everybody does.
    Browser::sign_in(&world, TOKEN, "acme").await;
    let session = world.call(TOKEN, "POST", "/v1/operator-sessions", None).await.good();
    assert_eq!(Browser::new(&world).get(&path_of(&session)).await.header("location"), "/operator");
    assert_eq!(Browser::new(&world).post("/operator/sign-in", &format!("token={TOKEN}")).await.status, 303);
    assert!(limited().await);
}
