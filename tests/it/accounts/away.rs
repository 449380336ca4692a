//! While the accounts database is away, what gateways ask is answered from memory.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::database::{Database, on_both_databases};
use super::world::{World, calls};

on_both_databases! {
    memory_answers_and_changes_are_refused,
}

const NOW: &str = "2026-11-01T09:00:00Z";
const PLAN: &str = "/v1/organizations/acme/plan";

/// Answers the key of a viewer.
async fn begin(world: &mut World) -> String {
    world.set_clock(NOW).await;
    world.sign_up("acme").await;
    world.publish(&[calls("acme", NOW, 7)], &[]).await;
    world.once("/v1/organizations/acme/usage", "/usage/api_calls", 7).await;
    world.new_key("acme", "viewer").await
}

async fn answers_from_memory(world: &World, key: &str) {
    for (path, member, value) in [
        ("/v1/organizations/acme", "plan", json!("plus")),
        ("/v1/organizations/acme/entitlements/api_calls", "used", json!(7)),
        ("/v1/organizations/acme/usage", "plan", json!("plus")),
    ] {
        let answer = world.call(key, "GET", path, None).await.good();
        assert_eq!(answer[member], value, "{path}: {answer}");
    }
}

async fn memory_answers_and_changes_are_refused(database: Database) {
    let (url, _folder) = database.create("away").await;
    let mut world = World::new("away", url).await;
    let key = begin(&mut world).await;
    world.accounts.close().await;
    answers_from_memory(&world, &key).await;
    let refused = world.operator("PUT", PLAN, json!({ "plan": "free" })).await;
    assert_eq!(refused.refusal(), (503, "accounts-unavailable"));
    assert_eq!(refused.headers["retry-after"], "1");
    answers_from_memory(&world, &key).await;
}

/// A way to a server that can be cut.
struct Way {
    address: SocketAddr,
    server: String,
    open: Option<JoinHandle<()>>,
}

impl Way {
    async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("an address");
        let mut way = Self { address, server: server.to_owned(), open: None };
        way.pass(listener);
        way
    }

    fn pass(&mut self, listener: TcpListener) {
        let server = self.server.clone();
        self.open = Some(tokio::spawn(async move {
            // Connections end with the set.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let server = server.clone();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(server).await.expect("connect to the server");
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }));
    }

    async fn cut(&mut self) {
        let open = self.open.take().expect("it is open");
        open.abort();
        let _ = open.await;
    }

    async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("listen again");
        self.pass(listener);
    }
}

#[tokio::test]
async fn postgres_goes_away_and_comes_back() {
    let (url, _folder) = Database::Postgres.create("away_and_back").await;
    let (user, rest) = url.rsplit_once('@').expect("a user in POSTGRES_URL");
    let (server, name) = rest.split_once('/').expect("a database in POSTGRES_URL");
    let mut way = Way::to(server).await;
    let mut world = World::new("away_and_back", format!("{user}@{}/{name}", way.address)).await;
    let key = begin(&mut world).await;
    way.cut().await;
    answers_from_memory(&world, &key).await;
    // What is asked meanwhile waits for the database, for some time.
    let change = world.operator("PUT", PLAN, json!({ "plan": "free" }));
    let (changed, ()) = tokio::join!(change, way.mend());
    assert_eq!(changed.good()["plan"], "free");
    assert_eq!(world.get("/v1/organizations/acme").await.good()["plan"], "free");
    world.accounts.verify_log().await.unwrap().expect("the log is whole");
}
