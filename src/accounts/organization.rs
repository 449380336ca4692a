//! Sign-up, plan changes and regions.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::event::Plan;

use super::account::{self, Account, OrganizationAnswer};
use super::caller::Caller;
use super::change::Change;
use super::database::{DatabaseResult, Many, rows_of, values};
use super::error::{AccountError, AccountResult};
use super::outbox::{Channel, Notice};
use super::schedule::{NOTICE_BEFORE_MS, TRIAL_END, TRIAL_NOTICE};
use super::subscription::{OperatorConsent, PaymentMethodSet, Subscription, Trial};
use super::validate::Checks;
use super::{Accounts, identifier};

static PAST_DUE: LazyLock<Many<1>> =
    LazyLock::new(|| Many::new("SELECT id FROM organizations WHERE id IN ({rows}) AND past_due <> 0"));

#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    #[serde(default)]
    pub id: Option<String>,
    pub name: String,
    pub email: String,
    pub region: String,
}

#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    pub plan: Plan,
}

#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionsRequest {
    pub regions: Vec<String>,
    /// Where the organization pays taxes from now on, where that was taken wrong: any region, also one
    /// that it does not have. Left out or null, its home stays; one that is not known becomes the first of
    /// `regions`.
    #[serde(default)]
    #[schema(example = "eu")]
    pub home_region: Option<String>,
}

/// The most regions of one organization.
const MAX_REGIONS: usize = 64;

impl Accounts {
    /// Makes an organization with its trial and its license. Answers 201.
    pub async fn sign_up(&self, caller: &Caller, request: &SignUp) -> AccountResult<OrganizationAnswer> {
        caller.require_operator()?;
        let mut checks = Checks::default();
        if let Some(id) = &request.id {
            checks.organization("/id", id);
        }
        checks.name("/name", &request.name);
        checks.email("/email", &request.email);
        checks.region("/region", &request.region);
        checks.finish()?;
        let id = request.id.clone().unwrap_or_else(|| identifier("org"));
        let mut change = self.begin(caller).await?;
        insert_organization(&mut change, &id, request).await?;
        let now_ms = change.now_ms();
        let trial = Trial::begin(now_ms);
        let ends_ms = trial.ends_ms;
        let periods = Subscription::Trial(trial).periods(now_ms);
        change.replace_periods(&id, now_ms, &periods).await?;
        change.schedule(&id, TRIAL_NOTICE, ends_ms - NOTICE_BEFORE_MS).await?;
        change.schedule(&id, TRIAL_END, ends_ms).await?;
        let account = change.account(&id).await?;
        change.issue_license(&account).await?;
        let answer = account.answer(now_ms);
        change.record("organization.created", Some(&id), None, Some(json!(answer))).await?;
        let notice =
            json!({ "name": request.name, "region": request.region, "trial_ends_at": Time(ends_ms) });
        change.notify(Notice::new("organization.created", &account, now_ms, notice)).await?;
        change.commit(201, &answer).await?;
        Ok(answer)
    }

    /// Changes the plan; a plan that is set already stays. Answers 200.
    pub async fn set_plan(
        &self,
        caller: &Caller,
        organization: &str,
        plan: Plan,
    ) -> AccountResult<OrganizationAnswer> {
        caller.require_admin(organization)?;
        let version = account::read_version(&self.database, organization).await?;
        let mut change = self.begin(caller).await?;
        let account = change.unchanged_account(organization, version).await?;
        let subscription = account.subscription(change.now_ms())?;
        let next = transition(caller, &account, subscription, plan)?;
        let answer = match next {
            Some(next) => apply(&mut change, &account, &next).await?,
            None => account.answer(change.now_ms()),
        };
        change.commit(200, &answer).await?;
        Ok(answer)
    }

    /// Free at once. Answers 200.
    pub async fn cancel_plan(
        &self,
        caller: &Caller,
        organization: &str,
    ) -> AccountResult<OrganizationAnswer> {
        self.set_plan(caller, organization, Plan::Free).await
    }

    /// Replaces the regions; the operator alone. The home region stays, whatever their order, but where
    /// another one is asked for. Answers 200.
    pub async fn set_regions(
        &self,
        caller: &Caller,
        organization: &str,
        request: &RegionsRequest,
    ) -> AccountResult<OrganizationAnswer> {
        caller.require_admin(organization)?;
        OperatorConsent::prove(caller, organization, "a change of regions")?;
        check_regions(request)?;
        let regions = &request.regions;
        let mut change = self.begin(caller).await?;
        let account = change.account(organization).await?;
        let now_ms = change.now_ms();
        if regions.len() > 1 && account.plan(now_ms) != Plan::Enterprise {
            let what = "more than one region";
            return Err(AccountError::ContactSales { organization: organization.to_owned(), what });
        }
        write_regions(&mut change, organization, regions).await?;
        // An organization whose home is not known gets one.
        let home = request.home_region.as_ref().or(account.home_region.as_ref()).or(regions.first());
        let sql = "UPDATE organizations SET home_region = $2 WHERE id = $1";
        change.execute(sql, values![organization, home.cloned()]).await?;
        change.touch(organization).await?;
        let before = json!({ "regions": account.regions, "home_region": account.home_region });
        let after = json!({ "regions": regions, "home_region": home });
        change.record("regions.changed", Some(organization), Some(before), Some(after)).await?;
        let notice = json!({
            "regions": regions, "previous_regions": account.regions,
            "home_region": home, "previous_home_region": account.home_region,
        });
        change.notify(Notice::new("regions.changed", &account, now_ms, notice)).await?;
        let answer = change.account(organization).await?.answer(now_ms);
        change.commit(200, &answer).await?;
        Ok(answer)
    }

    /// Keeps a message for the sales contact and sends it to their webhook. Answers 202.
    pub async fn request_sales(
        &self,
        caller: &Caller,
        organization: &str,
        message: &str,
    ) -> AccountResult<SalesRequestAnswer> {
        caller.require_admin(organization)?;
        let mut checks = Checks::default();
        checks.message("/message", message);
        checks.finish()?;
        let mut change = self.begin(caller).await?;
        let account = change.account(organization).await?;
        let now_ms = change.now_ms();
        let data = json!({
            "name": account.name, "email": account.email, "plan": account.plan(now_ms), "message": message,
        });
        let notice =
            Notice { channel: Channel::Sales, ..Notice::new("sales.requested", &account, now_ms, data) };
        let id = change.notify(notice).await?;
        change.record("sales.requested", Some(organization), None, Some(json!({ "id": id }))).await?;
        let answer = SalesRequestAnswer { id, created_at: Time(now_ms) };
        change.commit(202, &answer).await?;
        Ok(answer)
    }
}

impl Change<'_> {
    /// Those of which a payment failed.
    pub async fn past_due_among(&mut self, organizations: &[&str]) -> DatabaseResult<HashSet<String>> {
        let rows = self.fetch_many(&PAST_DUE, rows_of(organizations)).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }

    /// Marks that a payment failed, or that none is open any more; for billing.
    pub async fn set_past_due(&mut self, organization: &str, past_due: bool) -> AccountResult<()> {
        let sql = "UPDATE organizations SET past_due = $2 WHERE id = $1 AND past_due <> $2";
        if self.execute(sql, values![organization, past_due]).await? == 0 {
            return Ok(());
        }
        self.touch(organization).await?;
        let (before, after) = (json!({ "past_due": !past_due }), json!({ "past_due": past_due }));
        self.record("status.changed", Some(organization), Some(before), Some(after)).await?;
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SalesRequestAnswer {
    pub id: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

async fn insert_organization(change: &mut Change<'_>, id: &str, request: &SignUp) -> AccountResult<()> {
    let now_ms = change.now_ms();
    let inserted = change
        .execute(
            "INSERT INTO organizations (id, name, email, created_ms, past_due, version, home_region)
             VALUES ($1, $2, $3, $4, 0, 1, $5) ON CONFLICT (id) DO NOTHING",
            values![id, request.name.as_str(), request.email.as_str(), now_ms, request.region.as_str()],
        )
        .await?;
    if inserted == 0 {
        return Err(AccountError::OrganizationExists { organization: id.to_owned() });
    }
    write_regions(change, id, std::slice::from_ref(&request.region)).await?;
    Ok(())
}

async fn write_regions(
    change: &mut Change<'_>,
    organization: &str,
    regions: &[String],
) -> DatabaseResult<()> {
    change.execute("DELETE FROM organization_regions WHERE organization = $1", values![organization]).await?;
    for (position, region) in (0_i64..).zip(regions) {
        let sql = "INSERT INTO organization_regions (organization, region, position) VALUES ($1, $2, $3)";
        change.execute(sql, values![organization, region.as_str(), position]).await?;
    }
    Ok(())
}

fn check_regions(request: &RegionsRequest) -> AccountResult<()> {
    let RegionsRequest { regions, home_region } = request;
    let mut checks = Checks::default();
    if let Some(home) = home_region {
        checks.region("/home_region", home);
    }
    checks.require((1..=MAX_REGIONS).contains(&regions.len()), "/regions", "there are 1 to 64 regions");
    for (index, region) in regions.iter().enumerate() {
        let pointer = format!("/regions/{index}");
        checks.region(&pointer, region);
        checks.require(!regions[..index].contains(region), &pointer, "a region is listed once");
    }
    checks.finish()
}

/// What follows when the plan is asked for; `None` where it is so already.
fn transition(
    caller: &Caller,
    account: &Account,
    subscription: Subscription,
    plan: Plan,
) -> AccountResult<Option<Subscription>> {
    let organization = account.id.as_str();
    let consent = || OperatorConsent::prove(caller, organization, "a change to or from enterprise");
    let payment = || PaymentMethodSet::prove(organization, account.has_payment_method);
    Ok(Some(match (subscription, plan) {
        (Subscription::Trial(trial), Plan::Plus) if trial.chosen_plus => return Ok(None),
        (Subscription::Trial(trial), Plan::Plus) => Subscription::Trial(trial.choose_plus(&payment()?)),
        (Subscription::Trial(trial), Plan::Free) => Subscription::Free(trial.cancel()),
        (Subscription::Trial(trial), Plan::Enterprise) => {
            Subscription::Enterprise(trial.to_enterprise(&consent()?))
        }
        (Subscription::Free(_), Plan::Free) | (Subscription::Plus(_), Plan::Plus) => return Ok(None),
        (Subscription::Free(free), Plan::Plus) => Subscription::Plus(free.upgrade(&payment()?)),
        (Subscription::Free(free), Plan::Enterprise) => {
            Subscription::Enterprise(free.to_enterprise(&consent()?))
        }
        (Subscription::Plus(plus), Plan::Free) => Subscription::Free(plus.cancel()),
        (Subscription::Plus(plus), Plan::Enterprise) => {
            Subscription::Enterprise(plus.to_enterprise(&consent()?))
        }
        (Subscription::Enterprise(_), Plan::Enterprise) => {
            consent()?;
            return Ok(None);
        }
        (Subscription::Enterprise(enterprise), Plan::Plus) => {
            let consent = consent()?;
            one_region(account)?;
            Subscription::Plus(enterprise.to_plus(&consent, &payment()?))
        }
        (Subscription::Enterprise(enterprise), Plan::Free) => {
            let consent = consent()?;
            one_region(account)?;
            Subscription::Free(enterprise.to_free(&consent))
        }
    }))
}

fn one_region(account: &Account) -> AccountResult<()> {
    match account.regions.len() {
        0 | 1 => Ok(()),
        count => Err(AccountError::TooManyRegions { organization: account.id.clone(), count }),
    }
}

/// Writes a transition with all that goes with it.
async fn apply(
    change: &mut Change<'_>,
    before: &Account,
    next: &Subscription,
) -> AccountResult<OrganizationAnswer> {
    let (organization, now_ms) = (before.id.as_str(), change.now_ms());
    if let Subscription::Trial(trial) = next {
        // The trial goes on; only what follows it changes.
        let periods = &next.periods(now_ms)[1..];
        change.replace_periods(organization, trial.ends_ms, periods).await?;
    } else {
        change.replace_periods(organization, now_ms, &next.periods(now_ms)).await?;
    }
    let in_trial = before.trial_ends_ms(now_ms).is_some();
    if in_trial && !matches!(next, Subscription::Trial(_)) {
        let sql = "DELETE FROM schedule WHERE organization = $1 AND kind IN ($2, $3)";
        change.execute(sql, values![organization, TRIAL_NOTICE, TRIAL_END]).await?;
    }
    change.touch(organization).await?;
    let after = change.account(organization).await?;
    change.reissue_license(&after).await?;
    let (was, is) = (before.answer(now_ms), after.answer(now_ms));
    let said = |answer: &OrganizationAnswer| json!({ "plan": answer.plan, "trial": answer.trial });
    change.record("plan.changed", Some(organization), Some(said(&was)), Some(said(&is))).await?;
    let data = json!({
        "plan": is.plan, "trial": is.trial, "previous_plan": was.plan, "previous_trial": was.trial,
    });
    change.notify(Notice::new("plan.changed", &after, now_ms, data)).await?;
    Ok(is)
}
