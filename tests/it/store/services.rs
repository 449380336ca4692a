//! The service register: any order, any repeats, and only what blocks that count say.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use odometer::aggregate::ServiceRow;
use odometer::store::Store;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Deserialize;

use super::{NOVEMBER_MS, Writer, servers, user};

#[derive(Row, Deserialize, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    organization: String,
    region: String,
    service: String,
    name: String,
    published: bool,
    created_at: i64,
    deleted_at: Option<i64>,
}

async fn listed(client: &clickhouse::Client) -> Vec<Listed> {
    let sql = "SELECT ?fields FROM services ORDER BY organization, region, service";
    client.query(sql).fetch_all().await.unwrap()
}

/// What is said, without where: version, time, source, id, existence, published, name.
type Said = (i64, i64, u8, u8, Option<bool>, Option<bool>, Option<u8>);

fn change(organization: &str, service: u8, said: Said) -> ServiceRow {
    let (version, time, source, id, exists, published, name) = said;
    ServiceRow {
        organization: organization.to_owned(),
        region: "us".to_owned(),
        service: format!("service-{service}"),
        version,
        time_ms: NOVEMBER_MS + time,
        source: format!("source-{source}"),
        id: format!("id-{id}"),
        exists,
        published,
        name: name.map(|name| format!("name-{name}")),
    }
}

async fn publish(store: &Store, writer: &mut Writer, services: &[ServiceRow]) {
    let row = writer.row(10, &[]);
    store.insert_block(&row, &[], services).await.unwrap();
    store.publish(&row).await.unwrap();
}

#[tokio::test]
async fn the_register_by_example() {
    let (store, settings) = servers::new_store("register").await;
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    let story = [
        change("acme", 1, (1, 10, 0, 0, Some(true), Some(false), Some(1))),
        change("acme", 1, (2, 20, 0, 1, Some(true), Some(true), None)),
        change("acme", 2, (5, 10, 0, 2, Some(true), Some(true), None)),
        change("acme", 2, (6, 30, 0, 3, Some(false), None, None)),
        change("acme", 2, (4, 40, 0, 4, Some(true), None, Some(7))),
        change("acme", 3, (1, 10, 0, 5, None, Some(false), None)),
        change("acme", 4, (1, 10, 0, 6, Some(false), None, None)),
    ];
    publish(&store, &mut writer, &story).await;
    let hidden = [change("acme", 9, (1, 10, 0, 0, Some(true), None, None))];
    store.insert_block(&writer.row(10, &[]), &[], &hidden).await.unwrap();
    let service = |service: u8, name: &str, published, created, deleted: Option<i64>| Listed {
        organization: "acme".to_owned(),
        region: "us".to_owned(),
        service: format!("service-{service}"),
        name: name.to_owned(),
        published,
        created_at: NOVEMBER_MS + created,
        deleted_at: deleted.map(|time| NOVEMBER_MS + time),
    };
    let expected = [service(1, "name-1", true, 10, None), service(2, "name-7", true, 40, Some(30))];
    assert_eq!(listed(&client).await, expected);
    let rows = store.services_of_organization("acme").await.unwrap();
    assert_eq!(rows.iter().collect::<BTreeSet<_>>(), story.iter().collect::<BTreeSet<_>>());
}

/// The register as the contract words it, one event after another.
#[derive(Default)]
struct Naive {
    exists: Option<((i64, i64, String, String), bool)>,
    published: Option<((i64, i64, String, String), bool)>,
    name: Option<((i64, i64, String, String), String)>,
    creations: BTreeSet<(i64, i64, String, String)>,
    deletions: BTreeSet<(i64, i64, String, String)>,
}

impl Naive {
    fn apply(&mut self, row: &ServiceRow) {
        let stamp = (row.version, row.time_ms, row.source.clone(), row.id.clone());
        keep(&mut self.exists, &stamp, row.exists);
        keep(&mut self.published, &stamp, row.published);
        keep(&mut self.name, &stamp, row.name.clone());
        match row.exists {
            Some(true) => drop(self.creations.insert(stamp)),
            Some(false) => drop(self.deletions.insert(stamp)),
            None => {}
        }
    }

    /// When it was said to exist first since it was last said not to, before it was said last.
    fn created_at(&self) -> Option<i64> {
        let last = self.creations.last()?;
        let deletion = self.deletions.range(..last).next_back();
        self.creations
            .iter()
            .find(|creation| deletion.is_none_or(|deletion| *creation > deletion))
            .map(|stamp| stamp.1)
    }
}

fn keep<S: Ord + Clone, V: Ord>(register: &mut Option<(S, V)>, stamp: &S, value: Option<V>) {
    if let Some(value) = value
        && register.as_ref().is_none_or(|held| (stamp, &value) > (&held.0, &held.1))
    {
        *register = Some((stamp.clone(), value));
    }
}

#[tokio::test]
async fn any_order_and_any_repeats_give_the_same_register() {
    const STORIES: usize = 40;
    let (store, settings) = servers::new_store("orders").await;
    let said = (
        0i64..4,
        0i64..4,
        0u8..2,
        0u8..3,
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
        prop::option::of(0u8..4),
    );
    let any_story = prop::collection::vec((0u8..3, said, 1usize..3), 1..25);
    let mut runner = TestRunner::default();
    let mut naive: BTreeMap<(String, String), Naive> = BTreeMap::new();
    let mut all = Vec::new();
    for story in 0..STORIES {
        for (service, said, times) in any_story.new_tree(&mut runner).unwrap().current() {
            let row = change(&format!("organization-{story:02}"), service, said);
            naive.entry((row.organization.clone(), row.service.clone())).or_default().apply(&row);
            all.extend(std::iter::repeat_n(row, times));
        }
    }
    // Spread over blocks of two lanes against the order, some of them rolled up.
    all.sort_by(|a, b| (b.time_ms, &a.id, b.version).cmp(&(a.time_ms, &b.id, a.version)));
    let mut writers = [Writer::new(&store, "topic", 0), Writer::new(&store, "topic", 1)];
    for (index, chunk) in all.chunks(all.len().div_ceil(6)).enumerate() {
        publish(&store, &mut writers[index % 2], chunk).await;
    }
    let covered = store.history(&writers[0].lane).await.unwrap().rows;
    writers[0].roll(&covered).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;

    let found: BTreeMap<(String, String), Listed> = listed(&user(&settings))
        .await
        .into_iter()
        .map(|listed| ((listed.organization.clone(), listed.service.clone()), listed))
        .collect();
    let expected: Vec<_> = naive.iter().filter(|(_, register)| register.created_at().is_some()).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    for (key, register) in expected {
        let listed = &found[key];
        let (stamp, exists) = register.exists.as_ref().unwrap();
        assert_eq!(Some(listed.created_at), register.created_at(), "{key:?}");
        assert_eq!(listed.deleted_at, (!exists).then_some(stamp.1), "{key:?}");
        assert_eq!(listed.published, register.published.as_ref().is_some_and(|held| held.1), "{key:?}");
        assert_eq!(listed.name, register.name.as_ref().map_or("", |held| &held.1), "{key:?}");
    }
}
