//! A client of odometer's HTTP interface.

use std::time::Duration;

use serde_json::Value;

use super::block_on;

pub struct Http {
    client: reqwest::Client,
    address: String,
    token: String,
}

impl Http {
    pub fn new(address: &str, token: &str) -> Self {
        let client =
            reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("an HTTP client");
        Self { client, address: address.to_owned(), token: token.to_owned() }
    }

    /// Status and body; the body is null where it is no JSON. `Err`: nobody answers.
    pub fn get(&self, path: &str) -> Result<(u16, Value), String> {
        let (status, body) = self.fetch(path)?;
        Ok((status, serde_json::from_str(&body).unwrap_or_default()))
    }

    /// The body of a 200, whatever it is.
    pub fn text(&self, path: &str) -> Result<String, String> {
        match self.fetch(path)? {
            (200, body) => Ok(body),
            (status, body) => Err(format!("get {path}: {status} {body}")),
        }
    }

    fn fetch(&self, path: &str) -> Result<(u16, String), String> {
        let url = format!("http://{}{path}", self.address);
        block_on(async {
            let request = self.client.get(&url).bearer_auth(&self.token);
            let response = request.send().await.map_err(|error| format!("get {url}: {error}"))?;
            let status = response.status().as_u16();
            let body = response.text().await.map_err(|error| format!("get {url}: {error}"))?;
            Ok((status, body))
        })
    }

    /// The sum of a metric over the labels that `holds` finds in its lines.
    pub fn metric(&self, name: &str, holds: &str) -> Result<f64, String> {
        let url = format!("http://{}/metrics", self.address);
        let text = block_on(async {
            let response =
                self.client.get(&url).send().await.map_err(|error| format!("get {url}: {error}"))?;
            response.text().await.map_err(|error| format!("get {url}: {error}"))
        })?;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(holds));
        Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// Status and body of what is answered to a JSON document.
    pub fn post(&self, path: &str, document: &Value) -> Result<(u16, Value), String> {
        let url = format!("http://{}{path}", self.address);
        block_on(async {
            let request = self.client.post(&url).bearer_auth(&self.token).json(document);
            let response = request.send().await.map_err(|error| format!("post {url}: {error}"))?;
            let status = response.status().as_u16();
            let body = response.bytes().await.map_err(|error| format!("post {url}: {error}"))?;
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        })
    }

    /// The body of a 200; anything else is an `Err`.
    pub fn get_ok(&self, path: &str) -> Result<Value, String> {
        match self.get(path)? {
            (200, body) => Ok(body),
            (status, body) => Err(format!("get {path}: {status} {body}")),
        }
    }

    /// The body of what succeeds: a change with a document, or without one where it is null.
    #[track_caller]
    pub fn change(&self, method: &str, path: &str, document: &Value) -> Value {
        let url = format!("http://{}{path}", self.address);
        let method = method.parse().expect("a method");
        block_on(async {
            let mut request = self.client.request(method, &url).bearer_auth(&self.token);
            if !document.is_null() {
                request = request.json(document);
            }
            let response = request.send().await.unwrap_or_else(|error| panic!("change {url}: {error}"));
            let status = response.status();
            let body = response.text().await.unwrap_or_else(|error| panic!("change {url}: {error}"));
            assert!(status.is_success(), "change {url}: {status} {body}");
            serde_json::from_str(&body).unwrap_or_default()
        })
    }
}
