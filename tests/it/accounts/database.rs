//! The databases that accounts may be kept in: what is tested on one is tested on the other.

use std::io::ErrorKind;
use std::path::Path;

use odometer::accounts::Accounts;
use tempfile::TempDir;

use crate::servers;

#[derive(Clone, Copy, Debug)]
pub enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// The URL of a new one. The folder is where SQLite's file lies: whoever uses it keeps it.
    pub async fn create(self, test: &str) -> (String, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let url = match self {
            Self::Sqlite => format!("sqlite://{}", folder.path().join("accounts.db").display()),
            Self::Postgres => servers::new_postgres_database(test).await,
        };
        (url, folder)
    }

    /// All that is stored, for finding what must not be there. Nothing is asked of `accounts` after it.
    pub async fn contents(self, accounts: &Accounts, folder: &Path) -> Vec<u8> {
        match self {
            Self::Sqlite => {
                accounts.close().await;
                files(folder)
            }
            Self::Postgres => {
                let sql = "SELECT schema_to_xml('public', TRUE, FALSE, '')::TEXT";
                let rows = accounts.database().fetch_all(sql, &[]).await.expect("read every table");
                rows[0].text(0).expect("a text").as_bytes().to_vec()
            }
        }
    }
}

fn files(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder).expect("a folder").flatten() {
        match std::fs::read(file.path()) {
            Ok(bytes) => all.extend(bytes),
            // SQLite takes its write-ahead log away when the last connection ends, which may be just now.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("read {:?}: {error}", file.path()),
        }
    }
    all
}

/// Makes two tests of each function. One that is not named is never called, which the compiler says.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use crate::accounts::database::Database;

            #[tokio::test]
            async fn on_sqlite() {
                super::$test(Database::Sqlite).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$test(Database::Postgres).await;
            }
        }
    )+};
}

pub(crate) use on_both_databases;
