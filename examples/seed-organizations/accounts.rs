//! Organizations, many rows a statement and many statements a transaction.

use odometer::accounts::database::Value;
use odometer::accounts::subscription::TRIAL_MS;
use odometer::accounts::{Accounts, Caller, Change};
use odometer::config::Config;
use odometer::event::{Plan, PlanPeriod};
use odometer::month::Month;

use super::organization;

/// Rows of one statement: with 8 values each far below SQLite's 32,766 parameters.
const ROWS: usize = 500;
/// Organizations of one transaction.
const TOGETHER: usize = 20_000;
const DAY_MS: i64 = 86_400_000;

pub async fn seed(config: &Config, organizations: usize, since: Month) -> anyhow::Result<()> {
    let accounts = Accounts::open(&config.accounts_settings()?).await?;
    let mut tables = Tables::new();
    let mut next = 0;
    while next < organizations {
        let mut change = accounts.begin(&Caller::operator()).await?;
        let end = organizations.min(next + TOGETHER);
        for number in next..end {
            let seeded = Seeded::new(number, since, change.now_ms());
            tables.push(&mut change, &seeded, &config.region).await?;
        }
        tables.flush(&mut change).await?;
        let said = serde_json::json!({ "first": organization(next), "count": end - next });
        change.record("organizations.seeded", None, None, Some(said)).await?;
        change.commit(201, &()).await?;
        next = end;
    }
    accounts.close().await;
    println!("{organizations} organizations since {since}");
    Ok(())
}

/// One organization: what a sign-up and the changes after it leave.
struct Seeded {
    id: String,
    created_ms: i64,
    periods: Vec<PlanPeriod>,
}

impl Seeded {
    /// Of twenty, ten are on Plus, five on Free, two in a trial, two went from Plus to Free in the
    /// month, one is on Enterprise.
    fn new(number: usize, since: Month, now_ms: i64) -> Self {
        let start_ms = since.start_ms();
        let on = |plan, from_ms, to_ms| PlanPeriod { plan, trial: false, from_ms, to_ms };
        let is_over = since.end_ms() <= now_ms;
        let (created_ms, periods) = match number % 20 {
            0..10 => (start_ms, vec![on(Plan::Plus, start_ms, None)]),
            10..15 => (start_ms, vec![on(Plan::Free, start_ms, None)]),
            15 | 16 => {
                let ends_ms = now_ms + TRIAL_MS;
                let trial = PlanPeriod { trial: true, ..on(Plan::Plus, now_ms, Some(ends_ms)) };
                (now_ms, vec![trial, on(Plan::Free, ends_ms, None)])
            }
            17 | 18 if is_over => {
                let changed_ms = start_ms + 14 * DAY_MS + 1_234_567;
                let before = on(Plan::Plus, start_ms, Some(changed_ms));
                (start_ms, vec![before, on(Plan::Free, changed_ms, None)])
            }
            17 | 18 => (start_ms, vec![on(Plan::Plus, start_ms, None)]),
            _ => (start_ms, vec![on(Plan::Enterprise, start_ms, None)]),
        };
        Self { id: organization(number), created_ms, periods }
    }

    fn pays(&self) -> bool {
        self.periods.iter().any(|period| period.plan == Plan::Plus && !period.trial)
    }

    fn trial_ends_ms(&self) -> Option<i64> {
        self.periods.iter().find(|period| period.trial)?.to_ms
    }
}

struct Tables {
    organizations: Insert,
    regions: Insert,
    periods: Insert,
    methods: Insert,
    schedule: Insert,
}

impl Tables {
    fn new() -> Self {
        Self {
            organizations: Insert::new("organizations (id, name, email, created_ms, past_due, version)", 6),
            regions: Insert::new("organization_regions (organization, region, position)", 3),
            periods: Insert::new("plan_periods (organization, from_ms, to_ms, plan, trial)", 5),
            methods: Insert::new(
                "payment_methods (id, organization, token, brand, last4, exp, is_default, created_ms)",
                8,
            ),
            schedule: Insert::new("schedule (organization, kind, due_ms)", 3),
        }
    }

    async fn push(&mut self, change: &mut Change<'_>, seeded: &Seeded, region: &str) -> anyhow::Result<()> {
        let id = seeded.id.as_str();
        let (name, email) = (format!("Organization {id}"), format!("billing@{id}.example"));
        self.organizations.push([
            id.into(),
            name.into(),
            email.into(),
            seeded.created_ms.into(),
            false.into(),
            1i64.into(),
        ]);
        self.regions.push([id.into(), region.into(), 0i64.into()]);
        for period in &seeded.periods {
            let plan = period.plan.as_str();
            self.periods.push([
                id.into(),
                period.from_ms.into(),
                period.to_ms.into(),
                plan.into(),
                period.trial.into(),
            ]);
        }
        if seeded.pays() {
            let method = format!("pm_{id}");
            self.methods.push([
                method.into(),
                id.into(),
                "tok_ok".into(),
                "visa".into(),
                "4242".into(),
                "11/2031".into(),
                true.into(),
                seeded.created_ms.into(),
            ]);
        }
        if let Some(ends_ms) = seeded.trial_ends_ms() {
            self.schedule.push([id.into(), "trial-notice".into(), (ends_ms - 3 * DAY_MS).into()]);
            self.schedule.push([id.into(), "trial-end".into(), ends_ms.into()]);
        }
        if self.organizations.is_full() {
            self.write(change, Insert::write_full).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, change: &mut Change<'_>) -> anyhow::Result<()> {
        self.write(change, Insert::write_full).await?;
        self.write(change, Insert::write_rest).await
    }

    /// Organizations first: the others refer to them.
    async fn write(
        &mut self,
        change: &mut Change<'_>,
        write: impl AsyncFn(&mut Insert, &mut Change<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        write(&mut self.organizations, change).await?;
        write(&mut self.regions, change).await?;
        write(&mut self.periods, change).await?;
        write(&mut self.methods, change).await?;
        write(&mut self.schedule, change).await
    }
}

/// Rows on their way into one table.
struct Insert {
    columns: usize,
    /// For [`ROWS`] rows.
    many: &'static str,
    one: &'static str,
    values: Vec<Value>,
}

impl Insert {
    /// `into`: the table and its columns.
    fn new(into: &str, columns: usize) -> Self {
        Self {
            columns,
            many: statement(into, columns, ROWS),
            one: statement(into, columns, 1),
            values: Vec::new(),
        }
    }

    fn push<const COLUMNS: usize>(&mut self, row: [Value; COLUMNS]) {
        assert_eq!(COLUMNS, self.columns, "{}", self.one);
        self.values.extend(row);
    }

    fn is_full(&self) -> bool {
        self.values.len() >= ROWS * self.columns
    }

    async fn write_full(&mut self, change: &mut Change<'_>) -> anyhow::Result<()> {
        while self.is_full() {
            let rest = self.values.split_off(ROWS * self.columns);
            change.execute(self.many, &self.values).await?;
            self.values = rest;
        }
        Ok(())
    }

    async fn write_rest(&mut self, change: &mut Change<'_>) -> anyhow::Result<()> {
        for row in self.values.chunks(self.columns) {
            change.execute(self.one, row).await?;
        }
        self.values.clear();
        Ok(())
    }
}

/// Statements live as long as the program; there are two for each table.
fn statement(into: &str, columns: usize, rows: usize) -> &'static str {
    let row = |row: usize| {
        let values: Vec<String> =
            (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    Box::leak(format!("INSERT INTO {into} VALUES {}", rows.join(", ")).into_boxed_str())
}
