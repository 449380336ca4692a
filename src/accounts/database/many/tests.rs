use super::super::{Database, values};
use super::*;

#[tokio::test]
async fn however_many_rows_there_are_each_is_written_and_read_once() {
    let database = Database::open("sqlite::memory:", 1).await.unwrap();
    let insert: Many<3> = Many::new("INSERT INTO provider_events (id, type, received_ms) VALUES {rows}");
    let read: Many<1> = Many::new("SELECT id, received_ms FROM provider_events WHERE id IN ({rows})");
    let mut next = 0;
    for count in [0_i64, 1, 7, 8, 63, 64, 65, 137] {
        let new = next..next + count;
        next += count;
        let mut open = database.begin().await.unwrap();
        let row = |id: i64| values![format!("evt_{id:03}"), "any", id].clone();
        insert.execute(&mut open, new.clone().map(row).collect()).await.unwrap();
        let ids: Vec<String> = new.clone().map(|id| format!("evt_{id:03}")).collect();
        let asked: Vec<&str> = ids.iter().map(String::as_str).chain(["unknown"]).collect();
        let rows = read.fetch(&mut open, rows_of(&asked)).await.unwrap();
        let mut told: Vec<i64> = rows.iter().map(|row| row.integer(1).unwrap()).collect();
        told.sort_unstable();
        assert_eq!(told, new.collect::<Vec<_>>());
        open.commit().await.unwrap();
    }
    let all = database.fetch_all("SELECT COUNT(*) FROM provider_events", &[]).await.unwrap();
    assert_eq!(all[0].integer(0).unwrap(), next);
}
