use super::*;

fn cluster(replicas: u64) -> Layout {
    Layout { cluster: Some("c".to_owned()), servers: vec!["http://a".to_owned()], replicas }
}

fn place(shard: u32, replica: u32) -> Place {
    Place { shard, replica, internal_replication: 1 }
}

#[test]
fn engines_are_plain_or_replicated() {
    let one = Layout::default();
    assert_eq!(one.engine("MergeTree", ""), "MergeTree");
    assert_eq!(one.engine("ReplacingMergeTree", "token"), "ReplacingMergeTree(token)");
    let replicated = Layout { replicas: 2, ..Layout::default() };
    let replica = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'";
    assert_eq!(replicated.engine("MergeTree", ""), format!("ReplicatedMergeTree({replica})"));
    assert_eq!(
        replicated.engine("ReplacingMergeTree", "token"),
        format!("ReplicatedReplacingMergeTree({replica}, token)")
    );
}

#[test]
fn one_server_has_every_table_itself() {
    let one = Layout::default();
    assert_eq!((one.local("counts").as_str(), one.among(), one.whole().as_str()), ("counts", "IN", ""));
    assert_eq!(one.distributed_tables("`d`", "d"), Vec::<String>::new());
    assert!(one.settings().is_empty() && one.insert_settings().is_empty());
}

#[test]
fn a_cluster_is_asked_as_a_whole() {
    let spread = cluster(1);
    assert_eq!((spread.local("counts").as_str(), spread.among()), ("counts_local", "GLOBAL IN"));
    let tables = spread.distributed_tables("`d`", "d");
    assert_eq!(tables.len(), SPREAD_TABLES.len());
    assert!(
        tables[0].contains("Distributed('c', 'd', counts_local, cityHash64(organization))"),
        "{tables:?}"
    );
    assert!(spread.settings().contains(&("skip_unavailable_shards", "0")));
    assert!(spread.insert_settings().is_empty());
}

#[test]
fn an_insert_waits_for_all_replicas() {
    let settings = cluster(3).insert_settings();
    assert!(settings.contains(&("insert_quorum", "3".to_owned())), "{settings:?}");
    assert!(settings.contains(&("insert_quorum_parallel", "1".to_owned())), "{settings:?}");
}

#[test]
fn a_cluster_that_contradicts_the_configuration_is_refused() {
    let two_of_two = [place(1, 1), place(1, 2), place(2, 1), place(2, 2)];
    assert_eq!(check_places("c", &two_of_two, 2), Ok(()));
    let cases = [
        (check_places("c", &[], 1), "knows no cluster c"),
        (check_places("c", &two_of_two, 1), "shard 1 of cluster c has 2 replicas, clickhouse.replicas is 1"),
        (check_places("c", &two_of_two[..3], 2), "shard 2 of cluster c has 1 replicas"),
        (
            check_places("c", &[Place { internal_replication: 0, ..place(1, 1) }, place(1, 2)], 2),
            "written twice",
        ),
        (
            check_servers("c", &two_of_two, &two_of_two[..3], &two_of_two[0]),
            "lacks replica 2 of shard 2 of cluster c",
        ),
        (check_servers("c", &two_of_two, &two_of_two, &two_of_two[3]), "it must be one of the first, 1"),
    ];
    for (result, says) in cases {
        let message = result.unwrap_err();
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(check_servers("c", &two_of_two, &two_of_two, &two_of_two[1]), Ok(()));
}

#[test]
fn a_table_of_another_layout_is_told() {
    let replicated = Layout { replicas: 2, ..Layout::default() };
    let cases = [
        (Layout::default(), "counts", ""),
        (cluster(1), "counts", "Distributed('c',"),
        (cluster(1), "published", ""),
        (cluster(2), "counts", "Distributed('c',"),
        (cluster(2), "published", "Replicated"),
        (replicated, "counts", "Replicated"),
    ];
    for (layout, table, engine) in cases {
        assert_eq!(layout.expected_engine(table), engine, "{table} in {layout:?}");
    }
}

#[test]
fn names_are_quoted_so_that_nothing_around_them_reads_them() {
    assert_eq!(literal(r"a'b\c{d}?"), r"'a\'b\\c\x7Bd}\x3F'");
}
