//! Questions to ClickHouse over HTTP, as any user asks them.

use super::{block_on, servers};

/// The rows of an answer, each column as ClickHouse prints it.
#[track_caller]
pub fn rows(query: &str) -> Vec<Vec<String>> {
    let answer = ask(&format!("{query} FORMAT TSVRaw")).unwrap_or_else(|error| panic!("{error}"));
    answer.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The one value of an answer.
#[track_caller]
pub fn value(query: &str) -> String {
    let rows = rows(query);
    match &rows[..] {
        [row] if row.len() == 1 => row[0].clone(),
        _ => panic!("ask ClickHouse for one value: {query}: got {rows:?}"),
    }
}

#[track_caller]
pub fn execute(statement: &str) {
    ask(statement).unwrap_or_else(|error| panic!("{error}"));
}

/// Changes stored rows by hand, on every server that has some. `change`: what `ALTER TABLE` does to
/// the table.
#[track_caller]
pub fn change_rows(database: &str, table: &str, change: &str) {
    let name = stored(database, table);
    let statement = format!("ALTER TABLE {name} {change} SETTINGS mutations_sync = 2");
    let spread = SPREAD.contains(&table) && servers::is_cluster();
    let second = spread.then(servers::clickhouse_2_url);
    for url in std::iter::once(servers::clickhouse_url()).chain(second) {
        ask_at(&url, &statement).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The table that has a server's rows, where a cluster's tables only lead to such.
pub fn stored(database: &str, table: &str) -> String {
    let part = if SPREAD.contains(&table) && servers::is_cluster() { "_local" } else { "" };
    format!("`{database}`.`{table}{part}`")
}

/// Tables that lie on every server of a cluster.
const SPREAD: [&str; 2] = ["counts", "service_changes"];

/// What ClickHouse answers, or what it says is wrong.
pub fn ask(query: &str) -> Result<String, String> {
    ask_at(&servers::clickhouse_url(), query)
}

pub fn ask_at(url: &str, query: &str) -> Result<String, String> {
    let about = |problem: String| format!("ask ClickHouse: {query}: {problem}");
    block_on(async {
        // A client of its own: a connection that a restarted server has closed is not taken again.
        let request = reqwest::Client::new().post(url).body(query.to_owned());
        let response = request.send().await.map_err(|error| about(error.to_string()))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| about(error.to_string()))?;
        if status.is_success() { Ok(text) } else { Err(about(text)) }
    })
}
