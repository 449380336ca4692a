//! Stripe's API over the sandbox, and a proxy before it that loses what it is told to lose.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use odometer::accounts::Accounts;
use odometer::billing::payment::{Amount, Answer, Charge, Provider, Sandbox};
use odometer::clock::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const SECRET_KEY: &str = "sk_test_face";

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub idempotency_key: Option<String>,
    pub fields: HashMap<String, String>,
}

#[derive(Clone)]
pub struct Face {
    sandbox: Sandbox,
    intents: Arc<Mutex<Vec<Value>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

type Reply = (StatusCode, Json<Value>);

impl Face {
    /// Serves it; answers its URL.
    pub async fn serve(accounts: &Arc<Accounts>) -> (Self, String) {
        let face = Self {
            sandbox: Sandbox::new(accounts.clone()),
            intents: Arc::default(),
            requests: Arc::default(),
        };
        let router = Router::new()
            .route("/v1/payment_intents", post(make_intent).get(list_intents))
            .route("/v1/payment_intents/{id}", get(read_intent))
            .route("/v1/payment_intents/{id}/cancel", post(cancel_intent))
            .route("/v1/payment_methods", post(make_method))
            .route("/v1/payment_methods/{id}", get(read_method))
            .route("/v1/customers", post(make_customer))
            .route("/v1/customers/{id}", get(read_customer))
            .with_state(face.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        (face, format!("http://{address}"))
    }

    pub fn requests(&self, path: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    pub fn intents(&self) -> Vec<Value> {
        self.intents.lock().unwrap().clone()
    }

    fn note(&self, path: &str, headers: &HeaderMap, fields: &HashMap<String, String>) {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(header("authorization"), Some(format!("Bearer {SECRET_KEY}")));
        assert_eq!(header("stripe-version").as_deref(), Some("2024-06-20"));
        let idempotency_key = header("idempotency-key");
        self.requests.lock().unwrap().push(Request {
            path: path.to_owned(),
            idempotency_key,
            fields: fields.clone(),
        });
    }
}

async fn make_intent(
    State(face): State<Face>,
    headers: HeaderMap,
    Form(fields): Form<HashMap<String, String>>,
) -> Reply {
    face.note("/v1/payment_intents", &headers, &fields);
    let key = headers["idempotency-key"].to_str().expect("a key").to_owned();
    // What is tok_declined elsewhere is pm_declined here: Stripe's tokens are for setting up alone.
    let method = &fields["payment_method"];
    let kind = method.split_once("_of_").map_or(method.as_str(), |(kind, _)| kind);
    let token = kind.replace("pm_", "tok_");
    let charge = Charge {
        amount: Amount::of_minor_units(fields["amount"].parse().expect("a number"), "USD".parse().unwrap())
            .expect("an amount"),
        token,
        organization: String::new(),
        invoice: fields["metadata[odometer_invoice]"].clone(),
        description: String::new(),
        asked_ms: 0,
        reference: None,
        idempotency_key: key.clone(),
    };
    let intent = |status: &str| {
        json!({
            "id": format!("pi_{key}"), "object": "payment_intent", "status": status,
            "amount": charge.amount.minor_units(), "currency": "usd", "customer": fields.get("customer"),
            "metadata": { "odometer_attempt": fields["metadata[odometer_attempt]"] },
            "last_payment_error": null, "created": Clock::System.now_ms().div_euclid(1000),
        })
    };
    let keep = |made: &Value| {
        let mut intents = face.intents.lock().unwrap();
        if !intents.iter().any(|held| held["id"] == made["id"]) {
            intents.insert(0, made.clone());
        }
    };
    match face.sandbox.charge(&charge).await {
        Ok(Answer::Succeeded { .. }) => {
            let made = intent("succeeded");
            keep(&made);
            (StatusCode::OK, Json(made))
        }
        Ok(Answer::Declined { code, message, .. }) => {
            let made = intent("requires_payment_method");
            keep(&made);
            let error = json!({ "type": "card_error", "code": "card_declined", "decline_code": code,
                "message": message, "payment_intent": made });
            (StatusCode::PAYMENT_REQUIRED, Json(json!({ "error": error })))
        }
        other => panic!("the sandbox answers {other:?}"),
    }
}

async fn list_intents(
    State(face): State<Face>,
    headers: HeaderMap,
    Query(fields): Query<HashMap<String, String>>,
) -> Reply {
    face.note("/v1/payment_intents?", &headers, &fields);
    let bound = |name: &str| fields.get(name).map(|value| value.parse::<i64>().expect("seconds"));
    let (from, to) = (bound("created[gte]").unwrap_or(0), bound("created[lte]").unwrap_or(i64::MAX));
    let mut intents = face.intents();
    intents.retain(|intent| (from..=to).contains(&intent["created"].as_i64().expect("seconds")));
    if let Some(customer) = fields.get("customer") {
        intents.retain(|intent| intent["customer"] == *customer.as_str());
    }
    let start = match fields.get("starting_after") {
        Some(last) => intents.iter().position(|intent| intent["id"] == *last.as_str()).map_or(0, |at| at + 1),
        None => 0,
    };
    // Pages are short here, so that there are several.
    let data: Vec<Value> = intents.iter().skip(start).take(2).cloned().collect();
    let has_more = start + data.len() < intents.len();
    (StatusCode::OK, Json(json!({ "object": "list", "data": data, "has_more": has_more })))
}

async fn read_intent(State(face): State<Face>, Path(id): Path<String>) -> Reply {
    let found = face.intents().into_iter().find(|intent| intent["id"] == *id.as_str());
    found.map_or_else(missing, |intent| (StatusCode::OK, Json(intent)))
}

async fn cancel_intent(State(face): State<Face>, Path(id): Path<String>, headers: HeaderMap) -> Reply {
    face.note("/v1/payment_intents/cancel", &headers, &HashMap::new());
    let mut intents = face.intents.lock().unwrap();
    let Some(intent) = intents.iter_mut().find(|intent| intent["id"] == *id.as_str()) else {
        return missing();
    };
    intent["status"] = "canceled".into();
    (StatusCode::OK, Json(intent.clone()))
}

async fn make_method(
    State(face): State<Face>,
    headers: HeaderMap,
    Form(fields): Form<HashMap<String, String>>,
) -> Reply {
    face.note("/v1/payment_methods", &headers, &fields);
    let token = &fields["card[token]"];
    (StatusCode::OK, Json(json!({ "id": token.replace("tok_", "pm_"), "customer": null })))
}

/// Those that are called loose belong to nobody yet; `pm_ok_of_zulu` is zulu's.
async fn read_method(State(face): State<Face>, Path(id): Path<String>, headers: HeaderMap) -> Reply {
    face.note("/v1/payment_methods/", &headers, &HashMap::new());
    if id == "pm_gone" {
        return missing();
    }
    let customer = match id.split_once("_of_") {
        Some((_, organization)) => Some(format!("cus_{organization}")),
        None if id == "pm_loose" => None,
        None => Some("cus_1".to_owned()),
    };
    (StatusCode::OK, Json(json!({ "id": id, "customer": customer })))
}

async fn read_customer(Path(id): Path<String>) -> Reply {
    let organization = if id == "cus_1" { "acme" } else { id.trim_start_matches("cus_") };
    (StatusCode::OK, Json(json!({ "id": id, "metadata": { "odometer_organization": organization } })))
}

async fn make_customer(
    State(face): State<Face>,
    headers: HeaderMap,
    Form(fields): Form<HashMap<String, String>>,
) -> Reply {
    face.note("/v1/customers", &headers, &fields);
    (StatusCode::OK, Json(json!({ "id": "cus_1" })))
}

fn missing() -> Reply {
    let error =
        json!({ "type": "invalid_request_error", "code": "resource_missing", "message": "No such thing" });
    (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
}

/// Passes connections on, but for what is to be lost: of POST requests, with the connection.
#[derive(Clone, Default)]
pub struct Proxy {
    /// The next so many.
    lost_answers: Arc<Mutex<u32>>,
    lost_requests: Arc<Mutex<u32>>,
    /// All that are about one of these customers.
    lost_about: Arc<Mutex<LostAbout>>,
    struck: Arc<AtomicU64>,
}

/// Customers of whom nothing passes.
#[derive(Default)]
struct LostAbout {
    answers: Vec<String>,
    requests: Vec<String>,
}

impl Proxy {
    pub async fn before(url: &str) -> (Self, String) {
        let proxy = Self::default();
        let upstream = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let passing = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (passing, upstream) = (passing.clone(), upstream.clone());
                tokio::spawn(async move { passing.pass(client, &upstream).await });
            }
        });
        (proxy, format!("http://{address}"))
    }

    pub fn lose_answers(&self, count: u32) {
        *self.lost_answers.lock().unwrap() = count;
    }

    pub fn lose_requests(&self, count: u32) {
        *self.lost_requests.lock().unwrap() = count;
    }

    /// From now on every answer to a charge of these customers is lost, and every charge of those.
    pub fn lose_all_about(&self, answers: Vec<String>, requests: Vec<String>) {
        *self.lost_about.lock().unwrap() = LostAbout { answers, requests };
    }

    /// Whether a part of a request says that a customer is charged of whom it is to be lost.
    fn loses(&self, part: &[u8], whose: impl Fn(&LostAbout) -> &[String]) -> bool {
        let about = self.lost_about.lock().unwrap();
        let lost = whose(&about);
        let text = String::from_utf8_lossy(part);
        let mut customers = text.split('&').filter_map(|field| field.trim_end().strip_prefix("customer="));
        let is_lost = customers.any(|customer| lost.iter().any(|lost| lost == customer));
        if is_lost {
            self.struck.fetch_add(1, Ordering::Relaxed);
        }
        is_lost
    }

    /// How often something about one of those customers was lost.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }

    /// Requests and answers are short: each comes in one piece or two.
    async fn pass(&self, mut client: TcpStream, upstream: &str) {
        let Ok(mut server) = TcpStream::connect(upstream).await else { return };
        let (mut request, mut answer) = ([0; 65_536], [0; 65_536]);
        let (mut loses_answer, mut is_post) = (false, false);
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let Ok(bytes @ 1..) = read else { return };
                    if request.starts_with(b"POST") {
                        if take(&self.lost_requests) {
                            return;
                        }
                        loses_answer = take(&self.lost_answers);
                        is_post = true;
                    } else if request.starts_with(b"GET") {
                        (loses_answer, is_post) = (false, false);
                    }
                    if is_post && self.loses(&request[..bytes], |about| &about.requests) {
                        return;
                    }
                    loses_answer |= is_post && self.loses(&request[..bytes], |about| &about.answers);
                    if server.write_all(&request[..bytes]).await.is_err() {
                        return;
                    }
                }
                read = server.read(&mut answer) => {
                    let Ok(bytes @ 1..) = read else { return };
                    if loses_answer || client.write_all(&answer[..bytes]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn take(left: &Mutex<u32>) -> bool {
    let mut left = left.lock().unwrap();
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}
