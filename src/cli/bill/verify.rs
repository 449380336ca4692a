//! `odometer bill --verify`: an invoice computed again.

use anyhow::Context as _;
use serde::Serialize;

use super::super::audit::reached_kafka;
use super::super::screen::grouped;
use super::super::{Context, Exit, Failure};
use crate::audit::{self, Report};
use crate::billing::{Biller, Closing, Verification};

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    verification: Verification,
    /// What the log gives for the ledger rows that the invoice was made from; `None` where it was not
    /// read. Of another region's log nothing is known here.
    log: Option<Report>,
    /// Regions whose log was not read.
    unread_regions: Vec<String>,
}

pub async fn run(context: &Context, biller: &Biller, number: &str, recount: bool) -> Result<(), Failure> {
    let verified = biller.verify(number).await;
    let (verification, closing) = verified.with_context(|| format!("verify invoice {number}"))?;
    let log = if recount { Some(read_log(context, biller, &closing).await?) } else { None };
    let unread = biller.deployments().iter().skip(1).map(|deployment| deployment.region().to_string());
    let unread_regions = if recount { unread.collect() } else { Vec::new() };
    let good = verification.verified && log.as_ref().is_none_or(|log| log.balanced);
    let answer = Answer { verification, log, unread_regions };
    context.screen.print(&answer, for_people)?;
    if good { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

async fn read_log(context: &Context, biller: &Biller, closing: &Closing) -> Result<Report, Failure> {
    reached_kafka(context).await?;
    let local =
        biller.deployments().first().ok_or_else(|| Failure::failed("verify: no region is configured"))?;
    let bar = context.screen.progress("reading the log", 0);
    let progress = |read, total| {
        bar.set_length(total);
        bar.set_position(read);
    };
    let settings = context.config.source_settings()?;
    let lanes = closing.lanes(local.region());
    let report = audit::recount_as_of(local.store(), &settings, &lanes, &progress).await;
    bar.finish_and_clear();
    Ok(report.context("read the log again")?)
}

fn for_people(answer: &Answer) -> String {
    let Verification { number, organization, month, total, .. } = &answer.verification;
    let word = if answer.verification.verified { "verified" } else { "DIFFERS" };
    let mut text = format!("{word}: invoice {number} of {organization} for {month}, total {total}\n");
    for difference in &answer.verification.differences {
        text += &format!("  {difference}\n");
    }
    if let Some(log) = &answer.log {
        let again = log.recounted.unwrap_or_default();
        let (rows, events) = (grouped(again.rows as u128), grouped(again.received.into()));
        let word = if log.balanced { "agrees" } else { "DIFFERS" };
        text += &format!("the log {word}: {rows} ledger rows with {events} events counted again\n");
        for finding in &log.findings {
            text += &format!("  {}: {}\n", finding.problem.as_str(), finding.detail);
        }
        for part in &log.not_verifiable {
            text += &format!("  not verifiable: {} ({} ledger rows)\n", part.reason, part.rows);
        }
    }
    for region in &answer.unread_regions {
        text += &format!("the log of region {region} was not read: run this there\n");
    }
    text
}
