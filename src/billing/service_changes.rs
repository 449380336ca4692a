//! Service changes of several deployments as one stream, so that an organization's are looked at in
//! the order of their times and none is kept.

use std::sync::Arc;

use futures::future::try_join_all;

use crate::aggregate::ServiceRow;
use crate::snapshot::Deployment;
use crate::store::BlockServices;

use super::error::BillingResult;
use super::ledgers::silent;

/// By organization and time.
pub struct ServiceChanges(Vec<Stream>);

/// One deployment's, and the next of them.
struct Stream {
    deployment: Arc<Deployment>,
    changes: BlockServices,
    next: Option<ServiceRow>,
}

impl Stream {
    /// Answers the one that was the next.
    async fn advance(&mut self) -> BillingResult<Option<ServiceRow>> {
        let read = self.changes.next().await.map_err(silent(&self.deployment))?;
        Ok(std::mem::replace(&mut self.next, read.map(|(_, row)| row)))
    }
}

impl ServiceChanges {
    /// Of streams that are in that order themselves.
    pub async fn begin(streams: Vec<(Arc<Deployment>, BlockServices)>) -> BillingResult<Self> {
        // All at once: what one takes until its first row, no other stands unread for.
        let begun = streams.into_iter().map(|(deployment, changes)| async {
            let mut stream = Stream { deployment, changes, next: None };
            stream.advance().await?;
            Ok(stream)
        });
        try_join_all(begun).await.map(Self)
    }

    /// Whose changes come next.
    pub fn organization(&self) -> Option<&str> {
        self.0.iter().filter_map(|stream| Some(stream.next.as_ref()?.organization.as_str())).min()
    }

    /// The organization's next change; `None`: it has no more.
    pub async fn next_of(&mut self, organization: &str) -> BillingResult<Option<ServiceRow>> {
        let time_of = |stream: &Stream| {
            let next = stream.next.as_ref().filter(|next| next.organization == organization);
            next.map(|next| next.time_ms)
        };
        let streams = self.0.iter_mut().filter_map(|stream| Some((time_of(stream)?, stream)));
        match streams.min_by_key(|(time_ms, _)| *time_ms) {
            Some((_, stream)) => stream.advance().await,
            None => Ok(None),
        }
    }
}
