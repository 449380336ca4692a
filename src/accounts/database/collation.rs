//! Texts are in the order of their bytes on every database: pages and the numbers of invoices follow
//! it. Postgres orders by the locale that a database was made with, so the columns are told otherwise.

use sqlx::Row as _;
use sqlx::postgres::PgPool;

/// Processes that start side by side do it one after the other: any number that nobody else locks.
const LOCK: i64 = 0x6f64_6f6d_6574_6572;

/// Texts of these tables that are still ordered by the database's locale, as changes of each table.
const CHANGES: &str = r#"
    SELECT format('ALTER TABLE %I ', tables.relname)
        || string_agg(format('ALTER COLUMN %I TYPE TEXT COLLATE "C"', columns.attname), ', ')
    FROM pg_attribute AS columns
    INNER JOIN pg_class AS tables ON tables.oid = columns.attrelid
    INNER JOIN pg_collation AS collations ON collations.oid = columns.attcollation
    INNER JOIN pg_database AS databases ON databases.datname = current_database()
    WHERE tables.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
        AND tables.relname = ANY($1)
        AND columns.attnum > 0 AND NOT columns.attisdropped AND collations.collname = 'default'
        AND (databases.datcollate NOT IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8')
            OR COALESCE(to_jsonb(databases) ->> 'datlocprovider', 'c') <> 'c')
    GROUP BY tables.relname ORDER BY tables.relname"#;

/// Done once; after it there is nothing to change.
pub async fn order_by_bytes(pool: &PgPool, tables: &[String]) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    for row in sqlx::query(CHANGES).bind(tables).fetch_all(&mut *transaction).await? {
        let change: String = row.try_get(0)?;
        sqlx::query(&change).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
