//! How often an API key may ask, over HTTP.

use odometer::clock;
use odometer::http::Rate;

use super::database::{Database, on_both_databases};
use super::world::{Wish, World};

on_both_databases! {
    a_key_that_asks_too_often_is_told_to_wait_and_nobody_else_is,
}

const BURST: u32 = 2;
/// Far more calls than a key earns while they are made.
const ENOUGH: u32 = 50;

async fn a_key_that_asks_too_often_is_told_to_wait_and_nobody_else_is(database: Database) {
    let (url, _folder) = database.create("rate").await;
    let wish = Wish { rate: Rate { per_second: 1, burst: BURST }, ..Wish::default() };
    let world = World::wishing("rate", url, wish).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    world.sign_up("acme").await;
    let eager = world.new_key("acme", "admin").await;
    let calm = world.new_key("acme", "admin").await;
    let ask = async |key: &str| world.call(key, "GET", "/v1/organizations/acme", None).await;

    let began = clock::instant();
    let mut allowed = 0;
    let refused = loop {
        let answer = ask(&eager).await;
        if !answer.status.is_success() {
            break answer;
        }
        allowed += 1;
        assert!(allowed < ENOUGH, "nothing limits a key");
    };
    assert_eq!(refused.refusal(), (429, "rate-limited"));
    assert_eq!(refused.headers["retry-after"], "1");
    // The third call, but where the machine was so slow that the key had earned another one.
    let earned = began.elapsed().as_secs();
    assert!((u64::from(BURST)..=u64::from(BURST) + earned).contains(&allowed.into()), "{allowed} {earned}");

    for _ in 0..BURST {
        ask(&calm).await.good();
    }
    for _ in 0..ENOUGH {
        world.get("/v1/organizations/acme").await.good();
    }
}
