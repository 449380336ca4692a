//! Every list of the API's description: it is the same page by page as at once, on databases that order
//! texts in different ways.

use serde_json::{Value, json};

use super::api::world;
use super::database::{Database, on_both_databases};
use super::world::World;

on_both_databases! {
    every_list_is_whole_page_by_page,
}

/// Lists of billing, which are empty here.
const EMPTY: [&str; 1] = ["/v1/organizations/{org}/invoices"];

async fn every_list_is_whole_page_by_page(database: Database) {
    let (world, _folder) = world(database, "lists").await;
    // Orders in which bytes and languages differ.
    for id in ["acme", "Zulu", "a:b", "a-b", "A_b", "ab"] {
        world.sign_up(id).await;
    }
    for number in 0..3 {
        world.new_key("acme", "viewer").await;
        world.operator("POST", "/v1/organizations/acme/portal-sessions", Value::Null).await.good();
        let card = json!({ "token": "tok_ok", "brand": "visa", "last4": "4242", "exp": "11/2028" });
        world.operator("POST", "/v1/organizations/acme/payment-methods", card).await.good();
        let message = json!({ "message": format!("request {number}") });
        world.operator("POST", "/v1/organizations/acme/sales-requests", message).await.good();
    }
    let lists = lists(&world).await;
    assert!(lists.len() >= 7, "{lists:?}");
    for list in lists {
        let path = list.replace("{org}", "acme");
        let whole = world.get(&format!("{path}?limit=1000")).await.good();
        assert_eq!(whole["next_cursor"], Value::Null, "{list}");
        let whole = whole["data"].as_array().expect("a list").clone();
        assert!(whole.len() >= 3 || EMPTY.contains(&list.as_str()), "{list}: {whole:?}");
        for limit in [1, 2] {
            assert_eq!(page_by_page(&world, &path, limit).await, whole, "{list} by {limit}");
        }
        for (wrong, slug) in [
            ("limit=0", "invalid-query"),
            ("limit=x", "invalid-query"),
            ("colour=red", "invalid-query"),
            ("cursor=~", "invalid-cursor"),
            ("cursor=%00", "invalid-cursor"),
        ] {
            let answer = world.get(&format!("{path}?{wrong}")).await;
            assert_eq!(answer.refusal(), (400, slug), "{list}?{wrong}");
        }
    }
}

/// Paths of the description that have a limit and a cursor, without those of usage.
async fn lists(world: &World) -> Vec<String> {
    let description = world.get("/openapi.json").await.good();
    let paths = description["paths"].as_object().expect("paths").iter();
    let is_list = |operation: &Value| {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        operation["tags"][0] != "usage" && parameters.iter().any(|parameter| parameter["name"] == "cursor")
    };
    paths.filter(|(_, methods)| is_list(&methods["get"])).map(|(path, _)| path.clone()).collect()
}

async fn page_by_page(world: &World, path: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut page = world.get(&format!("{path}?limit={limit}{cursor}")).await.good();
        let Value::Array(items) = page["data"].take() else { panic!("a list: {page}") };
        assert!(items.len() <= limit, "{path}");
        all.extend(items);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}
