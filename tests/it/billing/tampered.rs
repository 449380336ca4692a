//! Whatever is changed by hand of an invoice, verifying it sees that.

use odometer::accounts::database::Value as Stored;
use odometer::billing::payment::{Payments, Settings};
use serde_json::{Value, json};

use super::{bill, biller, invoices, start_on_plus, verify};
use crate::accounts::world::{World, calls, services};

struct Invoices {
    world: World,
    paid: String,
    void: String,
    open: String,
}

impl Invoices {
    fn path(number: &str, what: &str) -> String {
        format!("/v1/organizations/acme/invoices/{number}{what}")
    }

    /// One of each state, all of one organization.
    async fn make(url: String) -> Self {
        let mut world = World::new("bill_tampered", url).await;
        world.set_clock("2026-09-20T00:00:00Z").await;
        start_on_plus(&world, "acme").await;
        world.sign_up("zulu").await;
        let created = services("acme", "2026-09-20T00:00:00Z", 3);
        world.publish(&[calls("acme", "2026-10-10T00:00:00Z", 1_200_345)], &created).await;
        let mut numbers = Vec::new();
        for (now, month) in [
            ("2026-11-01T00:00:00Z", "2026-10"),
            ("2026-12-01T00:00:00Z", "2026-11"),
            ("2027-01-01T00:00:00Z", "2026-12"),
        ] {
            world.set_clock(now).await;
            assert_eq!(bill(&world, month).await.issued, 1);
            let number = invoices(&world, "acme").await[0]["number"].as_str().expect("a number").to_owned();
            match numbers.len() {
                0 => {
                    let payments =
                        Payments::new(world.accounts.clone(), &Settings::Sandbox).expect("payments");
                    assert_eq!(payments.collect_due(None).await.expect("collect").paid, 1);
                }
                1 => {
                    let reason = json!({ "reason": "made by mistake" });
                    world.operator("POST", &Self::path(&number, "/void"), reason).await.good();
                }
                _ => {}
            }
            numbers.push(number);
        }
        let [paid, void, open] = numbers.try_into().expect("three invoices");
        Self { world, paid, void, open }
    }

    async fn execute(&self, sql: String, values: &[Stored]) {
        // A test's statements are few.
        let sql: &'static str = sql.leak();
        self.world
            .accounts
            .database()
            .execute(sql, values)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn column(&self, number: &str, column: &str) -> Stored {
        let sql: &'static str = format!("SELECT {column} FROM invoices WHERE number = $1").leak();
        let rows = self.world.accounts.database().fetch_all(sql, &[number.into()]).await.expect("read");
        match rows[0].optional_integer(0) {
            Ok(integer) => integer.into(),
            Err(_) => rows[0].text(0).expect("a text").into(),
        }
    }

    /// Whether verifying the invoice says that something is wrong.
    async fn is_seen(&self, number: &str) -> bool {
        biller(&self.world).verify(number).await.map_or(true, |(verification, _)| !verification.verified)
    }

    async fn tamper(&self, number: &str, column: &str, value: Stored) {
        let kept = self.column(number, column).await;
        assert_ne!(kept, value, "{column} of {number}");
        let sql = |key: &str| format!("UPDATE invoices SET {column} = $2 WHERE {key} = $1");
        self.execute(sql("number"), &[number.into(), value.clone()]).await;
        let (after, key) = match (column, &value) {
            ("number", Stored::Text(Some(renamed))) => (renamed.clone(), renamed.clone()),
            _ => (number.to_owned(), number.to_owned()),
        };
        assert!(self.is_seen(&after).await, "{column} of {number} set to {value:?} is not seen");
        assert!(self.is_seen(number).await, "{column} of {number} set to {value:?} is not seen");
        self.execute(sql("number"), &[key.into(), kept]).await;
        verify(&self.world, number).await;
    }

    /// Every member of the content: of a text another one, of a list none.
    async fn tamper_content(&self, number: &str) {
        let Stored::Text(Some(kept)) = self.column(number, "content").await else { panic!("no content") };
        let content: Value = serde_json::from_str(&kept).expect("JSON");
        for (member, was) in content.as_object().expect("an object") {
            let others = match (member.as_str(), was) {
                ("state", _) => vec![json!("void")],
                ("currency", _) => vec![json!("EUR")],
                ("month", _) => vec![json!("2026-08")],
                ("issued_at" | "due_at" | "paid_at", _) => vec![json!("2026-11-05T00:00:00Z")],
                ("lines" | "periods", _) => vec![json!([])],
                ("ledger", _) => {
                    vec![json!([{ "region": "us", "topic": "t", "topic_id": "i", "partition": 0,
                    "next_offset": 1, "token": 1, "sequence": 1, "tenure": "0" }])]
                }
                ("regions", _) => vec![json!(7)],
                ("subtotal" | "total" | "amount_due", _) => vec![json!("1.00")],
                (_, Value::String(text)) => vec![json!(format!("{text}0"))],
                other => panic!("{other:?}: how is it changed?"),
            };
            for other in others {
                let mut changed = content.clone();
                changed[member] = other;
                assert_ne!(changed, content, "{member}");
                self.tamper(number, "content", changed.to_string().into()).await;
            }
        }
    }
}

#[tokio::test]
async fn every_column_of_an_invoice_is_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let made = Invoices::make(url).await;
    let Invoices { paid, void, open, world } = &made;
    for number in [paid, void, open] {
        verify(world, number).await;
    }
    let null = || Stored::Integer(None);
    let changes: [(&str, &str, Stored); 28] = [
        (paid, "organization", "zulu".into()),
        (paid, "month", "2026-07".into()),
        (paid, "state", "open".into()),
        (paid, "state", "void".into()),
        (paid, "closing", 2i64.into()),
        (paid, "currency", "EUR".into()),
        (paid, "total", "1.00".into()),
        (paid, "subtotal", "1.00".into()),
        (paid, "charge", "1.00".into()),
        (paid, "issued_ms", 1i64.into()),
        (paid, "due_ms", 1i64.into()),
        (paid, "paid_ms", 1i64.into()),
        (paid, "paid_ms", null()),
        (paid, "settlement", "sandbox_other".into()),
        (paid, "settlement", null()),
        (paid, "void_ms", 1i64.into()),
        (paid, "void_reason", "no reason".into()),
        (paid, "void_after", 1i64.into()),
        (paid, "issued_entry", 1i64.into()),
        (void, "state", "open".into()),
        (void, "void_ms", 1i64.into()),
        (void, "void_reason", "another reason".into()),
        (void, "void_after", 1i64.into()),
        (open, "state", "paid".into()),
        (open, "state", "void".into()),
        (open, "number", "2027-000009".into()),
        (open, "charge", "0.00".into()),
        (open, "collected", 1i64.into()),
    ];
    for (number, column, value) in changes {
        made.tamper(number, column, value).await;
    }
    // The table has no column that is not tampered with.
    let columns = "SELECT name FROM pragma_table_info('invoices')";
    for row in world.accounts.database().fetch_all(columns, &[]).await.expect("columns") {
        let known = [
            "organization",
            "month",
            "number",
            "state",
            "closing",
            "content",
            "currency",
            "total",
            "charge",
            "issued_ms",
            "due_ms",
            "paid_ms",
            "void_ms",
            "settlement",
            "collected",
            "subtotal",
            "void_reason",
            "void_after",
            "issued_entry",
        ];
        assert!(known.contains(&row.text(0).expect("a name")), "{row:?}");
    }
    for number in [paid, void, open] {
        made.tamper_content(number).await;
    }
    // What stands elsewhere of it.
    let invoice = world.get(&Invoices::path(open, "")).await.good();
    let digest = invoice["digest"].as_str().expect("a digest").to_owned();
    let none = "0".repeat(64);
    let replace = |from: &str, to: &str| {
        format!(
            "UPDATE audit_log SET after = REPLACE(after, '{from}', '{to}') WHERE action = 'invoices.issued'"
        )
    };
    let credit = |sql: &str| sql.to_owned();
    let elsewhere = [
        (
            credit("INSERT INTO invoice_credits (organization, amount) VALUES ('acme', '5.00')"),
            credit("DELETE FROM invoice_credits"),
        ),
        (replace(&digest, &none), replace(&none, &digest)),
    ];
    for (tamper, mend) in elsewhere {
        made.execute(tamper.clone(), &[]).await;
        assert!(made.is_seen(open).await, "{tamper}");
        made.execute(mend, &[]).await;
        verify(world, open).await;
    }
}
