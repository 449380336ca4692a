//! An organization as it is read.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::event::{Plan, PlanPeriod};

use super::Accounts;
use super::change::Change;
use super::database::{Database, DatabaseError, DatabaseResult, Row, Value, values};
use super::error::{AccountError, AccountResult};
use super::subscription::{Subscription, period_at};

/// What is known of one organization; what it means at an instant, its methods say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    pub name: String,
    pub email: String,
    pub created_ms: i64,
    /// By rising time, half-open, without gaps; the last has no end, and what follows a trial is
    /// planned already.
    pub periods: Vec<PlanPeriod>,
    /// Never empty.
    pub regions: Vec<String>,
    /// Chosen at the sign-up, or set by the operator; whatever regions there are later, its taxes are
    /// paid. `None`: it is not known.
    pub home_region: Option<String>,
    pub has_payment_method: bool,
    pub past_due: bool,
    /// Rises with every change.
    pub version: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Trialing,
    Active,
    /// A payment failed and was not made good yet.
    PastDue,
}

/// The organization as the API answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrganizationAnswer {
    pub id: String,
    pub name: String,
    pub email: String,
    pub plan: Plan,
    pub trial: Option<TrialAnswer>,
    pub regions: Vec<String>,
    /// Whose taxes it pays: where it signed up, or what the operator has set since; null where that is
    /// not known.
    #[schema(required = true, example = "us")]
    pub home_region: Option<String>,
    pub status: Status,
    /// To be on Plus, now or after the trial, a payment method must be set up.
    pub payment_method_required: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrialAnswer {
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Time,
    /// The plan that follows.
    pub then: Plan,
}

impl Account {
    /// The plan at an instant. Before the sign-up it is that of the sign-up.
    pub fn plan(&self, now_ms: i64) -> Plan {
        let period = period_at(&self.periods, now_ms).or(self.periods.first());
        period.map_or(Plan::Free, |period| period.plan)
    }

    /// The end of the trial that the instant lies in.
    pub fn trial_ends_ms(&self, now_ms: i64) -> Option<i64> {
        period_at(&self.periods, now_ms).filter(|period| period.trial)?.to_ms
    }

    pub fn subscription(&self, now_ms: i64) -> AccountResult<Subscription> {
        Subscription::at(&self.periods, now_ms).ok_or_else(|| {
            let what = format!("organization {} has no plan at {}", self.id, Time(now_ms));
            AccountError::Database(DatabaseError::Content { what })
        })
    }

    pub fn status(&self, now_ms: i64) -> Status {
        if self.past_due {
            Status::PastDue
        } else if self.trial_ends_ms(now_ms).is_some() {
            Status::Trialing
        } else {
            Status::Active
        }
    }

    pub fn payment_method_required(&self, now_ms: i64) -> bool {
        self.plan(now_ms) == Plan::Plus && !self.has_payment_method
    }

    pub fn answer(&self, now_ms: i64) -> OrganizationAnswer {
        let trial = self
            .trial_ends_ms(now_ms)
            .map(|ends_ms| TrialAnswer { ends_at: Time(ends_ms), then: self.plan(ends_ms) });
        OrganizationAnswer {
            id: self.id.clone(),
            name: self.name.clone(),
            email: self.email.clone(),
            plan: self.plan(now_ms),
            trial,
            regions: self.regions.clone(),
            home_region: self.home_region.clone(),
            status: self.status(now_ms),
            payment_method_required: self.payment_method_required(now_ms),
            created_at: Time(self.created_ms),
        }
    }

    /// The account row without its periods and regions; columns as in `account_rows`.
    pub(super) fn from_row(row: &Row) -> DatabaseResult<Self> {
        Ok(Self {
            id: row.text(0)?.to_owned(),
            name: row.text(1)?.to_owned(),
            email: row.text(2)?.to_owned(),
            created_ms: row.integer(3)?,
            periods: Vec::new(),
            regions: Vec::new(),
            has_payment_method: row.flag(4)?,
            past_due: row.flag(5)?,
            version: row.integer(6)?,
            home_region: row.optional_text(7)?.map(str::to_owned),
        })
    }
}

/// `plan_periods` as (plan, trial, from, to) from the given column on.
pub(super) fn read_period(row: &Row, first: usize) -> DatabaseResult<PlanPeriod> {
    let plan = row.text(first)?;
    Ok(PlanPeriod {
        plan: plan
            .parse()
            .map_err(|_| DatabaseError::Content { what: format!("plan {plan:?} is unknown") })?,
        trial: row.flag(first + 1)?,
        from_ms: row.integer(first + 2)?,
        to_ms: row.optional_integer(first + 3)?,
    })
}

/// The rows that [`Account::from_row`] reads, with what follows the table's name.
macro_rules! account_rows {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, email, created_ms,
                CASE WHEN EXISTS (SELECT 1 FROM payment_methods WHERE organization = organizations.id)
                     THEN 1 ELSE 0 END,
                past_due, version, home_region
            FROM organizations",
            $rest
        )
    };
}
pub(super) use account_rows;

const ACCOUNT: &str = account_rows!(" WHERE id = $1");
const PERIODS: &str =
    "SELECT plan, trial, from_ms, to_ms FROM plan_periods WHERE organization = $1 ORDER BY from_ms";
const REGIONS: &str = "SELECT region FROM organization_regions WHERE organization = $1 ORDER BY position";

/// Reads one account outside any transaction. Its parts are read one after the other, so the
/// version is read again at the end.
pub(super) async fn read(database: &Database, organization: &str) -> DatabaseResult<Option<Account>> {
    loop {
        let Some(row) = database.fetch_optional(ACCOUNT, values![organization]).await? else {
            return Ok(None);
        };
        let periods = database.fetch_all(PERIODS, values![organization]).await?;
        let regions = database.fetch_all(REGIONS, values![organization]).await?;
        let account = assemble(&row, &periods, &regions)?;
        let again = database.fetch_optional(ACCOUNT, values![organization]).await?;
        if again.map(|row| row.integer(6)).transpose()? == Some(account.version) {
            return Ok(Some(account));
        }
    }
}

/// The version alone: what a change was decided on.
pub(super) async fn read_version(database: &Database, organization: &str) -> AccountResult<i64> {
    let sql = "SELECT version FROM organizations WHERE id = $1";
    match database.fetch_optional(sql, values![organization]).await? {
        Some(row) => Ok(row.integer(0)?),
        None => Err(not_found(organization)),
    }
}

pub(super) fn not_found(organization: &str) -> AccountError {
    AccountError::OrganizationNotFound { organization: organization.to_owned() }
}

fn assemble(row: &Row, periods: &[Row], regions: &[Row]) -> DatabaseResult<Account> {
    let mut account = Account::from_row(row)?;
    account.periods = periods.iter().map(|row| read_period(row, 0)).collect::<Result<_, _>>()?;
    account.regions = regions.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<_, _>>()?;
    Ok(account)
}

impl Accounts {
    /// One account as the database has it now.
    pub async fn stored_account(&self, organization: &str) -> AccountResult<Account> {
        let found = read(&self.database, organization).await?;
        found.ok_or_else(|| not_found(organization))
    }

    /// The ids that follow the id, in the same order as [`Self::accounts_after`].
    pub async fn ids_after(&self, organization: &str, limit: u32) -> DatabaseResult<Vec<String>> {
        let sql = "SELECT id FROM organizations WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.database.fetch_all(sql, values![organization, i64::from(limit)]).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }

    /// The accounts that follow the id, by id, at most `limit`; read from the database. What a past
    /// instant's plan was is in all of them alike, however they change meanwhile.
    pub async fn accounts_after(&self, organization: &str, limit: u32) -> DatabaseResult<Vec<Account>> {
        let sql = account_rows!(" WHERE id > $1 ORDER BY id LIMIT $2");
        let rows = self.database.fetch_all(sql, values![organization, i64::from(limit)]).await?;
        let mut accounts = rows.iter().map(Account::from_row).collect::<DatabaseResult<Vec<_>>>()?;
        let Some(last) = accounts.last().map(|account| account.id.clone()) else { return Ok(accounts) };
        let periods = "SELECT organization, plan, trial, from_ms, to_ms FROM plan_periods
            WHERE organization > $1 AND organization <= $2 ORDER BY organization, from_ms";
        let regions = "SELECT organization, region FROM organization_regions
            WHERE organization > $1 AND organization <= $2 ORDER BY organization, position";
        // By name: the database's order of texts need not be that of their bytes.
        let places: HashMap<&str, usize> =
            accounts.iter().enumerate().map(|(place, account)| (account.id.as_str(), place)).collect();
        let mut periods_of = vec![Vec::new(); accounts.len()];
        for row in self.database.fetch_all(periods, values![organization, last.as_str()]).await? {
            if let Some(&place) = places.get(row.text(0)?) {
                periods_of[place].push(read_period(&row, 1)?);
            }
        }
        let mut regions_of = vec![Vec::new(); accounts.len()];
        for row in self.database.fetch_all(regions, values![organization, last.as_str()]).await? {
            if let Some(&place) = places.get(row.text(0)?) {
                regions_of[place].push(row.text(1)?.to_owned());
            }
        }
        for (account, (periods, regions)) in accounts.iter_mut().zip(periods_of.into_iter().zip(regions_of)) {
            account.periods = periods;
            account.regions = regions;
        }
        Ok(accounts)
    }
}

impl Change<'_> {
    pub async fn account(&mut self, organization: &str) -> AccountResult<Account> {
        let Some(row) = self.fetch_optional(ACCOUNT, values![organization]).await? else {
            return Err(not_found(organization));
        };
        let periods = self.fetch_all(PERIODS, values![organization]).await?;
        let regions = self.fetch_all(REGIONS, values![organization]).await?;
        Ok(assemble(&row, &periods, &regions)?)
    }

    /// The account as its caller saw it; 409 where someone changed it since.
    pub(super) async fn unchanged_account(
        &mut self,
        organization: &str,
        version: i64,
    ) -> AccountResult<Account> {
        let account = self.account(organization).await?;
        if account.version == version {
            Ok(account)
        } else {
            Err(AccountError::Conflict { what: format!("organization {organization}") })
        }
    }

    /// Every change of an account does this, or readers would not see it.
    pub(super) async fn touch(&mut self, organization: &str) -> DatabaseResult<()> {
        let sql = "UPDATE organizations SET version = version + 1 WHERE id = $1";
        self.execute(sql, values![organization]).await?;
        Ok(())
    }

    /// Replaces the periods from `from_ms` on.
    pub(super) async fn replace_periods(
        &mut self,
        organization: &str,
        from_ms: i64,
        periods: &[PlanPeriod],
    ) -> DatabaseResult<()> {
        let later = "DELETE FROM plan_periods WHERE organization = $1 AND from_ms >= $2";
        self.execute(later, values![organization, from_ms]).await?;
        let current = "UPDATE plan_periods SET to_ms = $2
                       WHERE organization = $1 AND (to_ms IS NULL OR to_ms > $2)";
        self.execute(current, values![organization, from_ms]).await?;
        for period in periods {
            let sql = "INSERT INTO plan_periods (organization, from_ms, to_ms, plan, trial)
                       VALUES ($1, $2, $3, $4, $5)";
            let values: &[Value] =
                values![organization, period.from_ms, period.to_ms, period.plan.as_str(), period.trial];
            self.execute(sql, values).await?;
        }
        Ok(())
    }
}
