//! What an older version left in the accounts database.

use odometer::accounts::{Accounts, Settings};
use sqlx::AnyPool;
use sqlx::migrate::Migrator;

use super::database::Database;
use crate::servers;

#[tokio::test]
async fn an_older_organization_is_at_home_in_its_first_region() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite://{}?mode=rwc", folder.path().join("accounts.db").display());
    for url in [file, servers::new_postgres_database("migrations").await] {
        sqlx::any::install_default_drivers();
        let pool = AnyPool::connect(&url).await.expect("connect");
        migrate_up_to(&pool, "0007").await;
        let rows = "
            INSERT INTO organizations (id, name, email, created_ms, past_due, version)
            VALUES ('acme', 'Acme', 'acme@acme.example', 0, 0, 1), ('lost', 'Lost', 'lost@lost.example', 0, 0, 1);
            INSERT INTO organization_regions (organization, region, position)
            VALUES ('acme', 'us', 1), ('acme', 'eu', 0), ('lost', 'us', 0);
            DELETE FROM organization_regions WHERE organization = 'lost';";
        for statement in rows.split(';').filter(|statement| !statement.trim().is_empty()) {
            sqlx::query(statement).execute(&pool).await.expect("write what was there");
        }
        pool.close().await;
        let accounts = Accounts::open(&Settings::new(url)).await.expect("migrate the rest");
        let home = async |id: &str| accounts.stored_account(id).await.expect("an account").home_region;
        assert_eq!(home("acme").await.as_deref(), Some("eu"));
        assert_eq!(home("lost").await, None);
        accounts.close().await;
    }
}

#[tokio::test]
async fn rows_of_nobody_are_refused_and_readers_do_not_wait_for_writers() {
    for database in [Database::Sqlite, Database::Postgres] {
        let (url, _folder) = database.create("foreign_keys").await;
        let accounts = Accounts::open(&Settings::new(url)).await.expect("a new database");
        let sql =
            "INSERT INTO organization_regions (organization, region, position) VALUES ('nobody', 'us', 0)";
        let refused = accounts.database().execute(sql, &[]).await;
        assert!(refused.is_err(), "{database:?}");
        if matches!(database, Database::Sqlite) {
            let mode = accounts.database().fetch_all("PRAGMA journal_mode", &[]).await.expect("ask");
            assert_eq!(mode[0].text(0).expect("a text"), "wal");
        }
        accounts.close().await;
    }
}

/// The database as the version with this migration as its last left it.
async fn migrate_up_to(pool: &AnyPool, last: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("migrations") {
        let file = file.expect("a file");
        let name = file.file_name().into_string().expect("a plain name");
        if &name[..4] <= last {
            std::fs::copy(file.path(), folder.path().join(&name)).expect("copy a migration");
        }
    }
    let migrator = Migrator::new(folder.path()).await.expect("read migrations");
    migrator.run(pool).await.expect("migrate");
}
