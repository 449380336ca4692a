//! What happens by itself when its time comes: notices, trial ends, license renewals.

use serde_json::json;

use crate::clock::Time;

use super::Accounts;
use super::caller::Caller;
use super::change::Change;
use super::damaged::Work;
use super::database::{DatabaseResult, Row, values};
use super::error::{AccountError, AccountResult};
use super::outbox::Notice;

pub const TRIAL_NOTICE: &str = "trial-notice";
pub const TRIAL_END: &str = "trial-end";
pub const LICENSE_RENEWAL: &str = "license-renewal";

/// Notice of a trial's end is given this long before it.
pub const NOTICE_BEFORE_MS: i64 = 3 * 86_400_000;

/// Rows read at a time.
const BATCH: i64 = 100;

struct Due {
    organization: String,
    kind: String,
    due_ms: i64,
}

impl Due {
    fn of(row: &Row) -> DatabaseResult<Self> {
        Ok(Self {
            organization: row.text(0)?.to_owned(),
            kind: row.text(1)?.to_owned(),
            due_ms: row.integer(2)?,
        })
    }
}

impl Accounts {
    /// Does everything that is due by now, the earliest first; answers how much that was. Several
    /// processes may run it at once: each thing happens once. What can't be done for an organization
    /// stays due, and the others' is done.
    pub async fn advance(&self) -> AccountResult<u64> {
        let mut done = 0;
        // What stays due is passed over: it comes first again.
        let mut passed_over: i64 = 0;
        loop {
            let now_ms = self.clock.now_ms();
            let sql =
                "SELECT organization, kind, due_ms FROM schedule WHERE due_ms <= $1 AND kind IN ($2, $3, $4)
                       ORDER BY due_ms, organization, kind DESC LIMIT $5 OFFSET $6";
            let values = values![now_ms, TRIAL_NOTICE, TRIAL_END, LICENSE_RENEWAL, BATCH, passed_over];
            let rows = self.database.fetch_all(sql, values).await?;
            if rows.is_empty() {
                self.sweep_idempotency().await?;
                self.sweep_portal_sessions().await?;
                return Ok(done);
            }
            for row in rows {
                let organization = row.text(0).unwrap_or("(an id that can't be read)");
                let performed = match Due::of(&row) {
                    Ok(due) => self.perform(&due).await,
                    Err(error) => Err(AccountError::from(error)),
                };
                match performed {
                    Ok(performed) => {
                        self.damaged.mended(Work::DoWhatIsDue, organization);
                        done += u64::from(performed);
                    }
                    Err(error) if error.is_of_one_organization() => {
                        self.damaged.note(Work::DoWhatIsDue, organization, &error);
                        passed_over += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Answers false where another process was quicker.
    async fn perform(&self, due: &Due) -> AccountResult<bool> {
        let mut change = self.begin(&Caller::schedule()).await?;
        let sql = "DELETE FROM schedule WHERE organization = $1 AND kind = $2 AND due_ms = $3";
        let values = values![due.organization.as_str(), due.kind.as_str(), due.due_ms];
        if change.execute(sql, values).await? == 0 {
            return Ok(false);
        }
        match due.kind.as_str() {
            TRIAL_NOTICE => give_notice(&mut change, due).await?,
            TRIAL_END => end_trial(&mut change, due).await?,
            _ => change.renew_license(&due.organization, due.due_ms).await?,
        }
        change.commit(200, &()).await?;
        Ok(true)
    }
}

async fn give_notice(change: &mut Change<'_>, due: &Due) -> AccountResult<()> {
    let account = change.account(&due.organization).await?;
    let Some(ends_ms) = account.trial_ends_ms(due.due_ms) else { return Ok(()) };
    let data = json!({
        "name": account.name, "email": account.email, "ends_at": Time(ends_ms), "then": account.plan(ends_ms),
    });
    change
        .record("trial.ending", Some(&due.organization), None, Some(json!({ "ends_at": Time(ends_ms) })))
        .await?;
    change.notify(Notice::new("trial.ending", &account, due.due_ms, data)).await?;
    Ok(())
}

/// The plan that follows is in the periods since it was chosen; this tells of it.
async fn end_trial(change: &mut Change<'_>, due: &Due) -> AccountResult<()> {
    change.touch(&due.organization).await?;
    let account = change.account(&due.organization).await?;
    let plan = account.plan(due.due_ms);
    change.reissue_license(&account).await?;
    let before = json!({ "plan": "plus", "trial": { "ends_at": Time(due.due_ms) } });
    let after = json!({ "plan": plan, "trial": null });
    change.record("trial.ended", Some(&due.organization), Some(before), Some(after)).await?;
    let data = json!({ "name": account.name, "email": account.email, "plan": plan });
    change.notify(Notice::new("trial.ended", &account, due.due_ms, data)).await?;
    Ok(())
}
