//! Invoices as their organization reads them.

use crate::accounts::{AccountError, AccountResult, Accounts, List, Page};
use crate::event::Plan;

use super::invoice::Invoice;
use super::register;

/// The invoices of all organizations.
#[derive(Clone, Copy, Debug)]
pub struct Invoices<'a> {
    accounts: &'a Accounts,
}

impl<'a> Invoices<'a> {
    pub fn of(accounts: &'a Accounts) -> Self {
        Self { accounts }
    }

    /// The organization's invoices, the latest month first; drafts too.
    pub async fn list(&self, organization: &str, page: &Page) -> AccountResult<List<Invoice>> {
        self.require_self_service(organization).await?;
        Ok(register::list(self.accounts.database(), organization, page).await?)
    }

    pub async fn get(&self, organization: &str, number: &str) -> AccountResult<Invoice> {
        self.require_self_service(organization).await?;
        let found = register::by_number(self.accounts.database(), number).await?;
        found
            .filter(|invoice| invoice.organization == organization)
            .ok_or_else(|| AccountError::NotFound { what: "invoice", id: number.to_owned() })
    }

    /// Enterprise is billed by contract: whoever asks is sent to sales.
    pub async fn require_self_service(&self, organization: &str) -> AccountResult<()> {
        let account = self.accounts.account(organization).await?;
        match account.plan(self.accounts.clock().now_ms()) {
            Plan::Free | Plan::Plus => Ok(()),
            Plan::Enterprise => Err(AccountError::ContactSales {
                organization: organization.to_owned(),
                what: "billing of plan enterprise",
            }),
        }
    }
}
