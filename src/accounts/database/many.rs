//! One statement over many rows: a statement is a round trip to the database, and one for each of
//! 100,000 organizations takes longer than everything else.

use super::{DatabaseResult, Row, Transaction, Value};

/// How many rows a statement has: few texts, which the databases prepare once each. 64 rows of 15
/// columns are 960 values, of 32,766 that SQLite takes.
const AT_ONCE: [usize; 3] = [64, 8, 1];

/// A statement with a list of rows in it, as `INSERT INTO t (a, b) VALUES {rows}` or
/// `… WHERE a IN ({rows})` have one.
#[derive(Debug)]
pub struct Many<const COLUMNS: usize> {
    statements: [&'static str; AT_ONCE.len()],
}

impl<const COLUMNS: usize> Many<COLUMNS> {
    /// `{rows}` stands for the rows. What is made lives as long as the process: make it once.
    pub fn new(sql: &str) -> Self {
        Self { statements: AT_ONCE.map(|rows| &*sql.replace("{rows}", &Self::rows(rows)).leak()) }
    }

    /// `($1, $2), ($3, $4)`
    fn rows(rows: usize) -> String {
        let row = |row: usize| {
            let values: Vec<String> =
                (1..=COLUMNS).map(|value| format!("${}", row * COLUMNS + value)).collect();
            format!("({})", values.join(", "))
        };
        (0..rows).map(row).collect::<Vec<_>>().join(", ")
    }

    pub async fn execute(
        &self,
        transaction: &mut Transaction,
        rows: Vec<[Value; COLUMNS]>,
    ) -> DatabaseResult<()> {
        for (sql, values) in self.split(rows) {
            transaction.execute(sql, &values).await?;
        }
        Ok(())
    }

    /// What the statements answer, of all rows together.
    pub async fn fetch(
        &self,
        transaction: &mut Transaction,
        rows: Vec<[Value; COLUMNS]>,
    ) -> DatabaseResult<Vec<Row>> {
        let mut fetched = Vec::new();
        for (sql, values) in self.split(rows) {
            fetched.extend(transaction.fetch_all(sql, &values).await?);
        }
        Ok(fetched)
    }

    /// The statements that all rows need, with their values.
    fn split(&self, rows: Vec<[Value; COLUMNS]>) -> impl Iterator<Item = (&'static str, Vec<Value>)> {
        let mut left = rows.into_iter();
        std::iter::from_fn(move || {
            let fitting = AT_ONCE.iter().zip(self.statements);
            let (size, sql) = fitting.into_iter().find(|(size, _)| left.len() >= **size)?;
            Some((sql, left.by_ref().take(*size).flatten().collect()))
        })
    }
}

/// Rows of one text.
pub fn rows_of(texts: &[&str]) -> Vec<[Value; 1]> {
    texts.iter().map(|text| [(*text).into()]).collect()
}

#[cfg(test)]
mod tests;
