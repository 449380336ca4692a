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

/// What ClickHouse answers, or what it says is wrong.
pub fn ask(query: &str) -> Result<String, String> {
    let about = |problem: String| format!("ask ClickHouse: {query}: {problem}");
    block_on(async {
        // A client of its own: a connection that a restarted server has closed is not taken again.
        let request = reqwest::Client::new().post(servers::clickhouse_url()).body(query.to_owned());
        let response = request.send().await.map_err(|error| about(error.to_string()))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| about(error.to_string()))?;
        if status.is_success() { Ok(text) } else { Err(about(text)) }
    })
}
