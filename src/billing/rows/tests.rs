use super::*;
use crate::accounts::{Accounts, Caller, Settings};
use crate::billing::invoice::tests::example;
use crate::billing::lifecycle::Draft;

#[tokio::test]
async fn however_many_there_are_each_has_its_row() {
    let accounts = Accounts::open(&Settings::new("sqlite::memory:")).await.unwrap();
    for count in [0, 1, 7, 8, 63, 64, 65, 137] {
        let mut change = accounts.begin(&Caller::operator()).await.unwrap();
        let drafts = (0..count).map(|index| {
            let organization = format!("org-{index:03}");
            Draft::of(Invoice { organization, ..example() })
        });
        let rows: Vec<InvoiceRow> =
            drafts.map(|draft| invoice_row(draft.invoice(), None, None).unwrap()).collect();
        for row in &rows {
            let sql =
                "INSERT INTO organizations (id, name, email, created_ms, version) VALUES ($1, $1, $1, 0, 1)";
            change.execute(sql, &row[..1]).await.unwrap();
        }
        insert(&mut change, rows.clone()).await.unwrap();
        let sql = "SELECT organization, content, subtotal FROM invoices ORDER BY organization";
        let stored = change.fetch_all(sql, &[]).await.unwrap();
        assert_eq!(stored.len(), count);
        for (row, stored) in rows.iter().zip(&stored) {
            for (place, column) in [0, 5, 13].into_iter().enumerate() {
                assert_eq!(row[column], Value::from(stored.text(place).unwrap()));
            }
        }
    }
}
