//! Whose figures changed: told to streams at once, and collected for the snapshots topic.

use std::sync::Arc;

use dashmap::{DashMap, DashSet};
use hashbrown::DefaultHashBuilder;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// Organizations whose figures changed. What is collected is a set, so that however much changes,
/// it is never larger than the number of organizations.
#[derive(Debug, Default)]
pub struct Changes {
    watchers: DashMap<Arc<str>, watch::Sender<()>>,
    /// `None`: nobody collects.
    collected: Option<DashSet<Arc<str>, DefaultHashBuilder>>,
}

impl Changes {
    /// With `collect`, [`drain`](Self::drain) must be called again and again.
    pub fn new(collect: bool) -> Self {
        Self { watchers: DashMap::new(), collected: collect.then(DashSet::default) }
    }

    pub fn mark(&self, organization: &Arc<str>) {
        if let Some(collected) = &self.collected {
            collected.insert(organization.clone());
        }
        if let Some(watcher) = self.watchers.get(organization) {
            watcher.send_replace(());
        }
    }

    /// Marks everyone whom somebody watches, for what concerns all.
    pub fn mark_watched(&self) {
        for watcher in &self.watchers {
            watcher.send_replace(());
        }
    }

    /// Tells when the organization's figures change; several changes may be told as one.
    pub fn watch(&self, organization: &Arc<str>) -> watch::Receiver<()> {
        self.forget_idle();
        self.watchers.entry(organization.clone()).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    fn forget_idle(&self) {
        self.watchers.retain(|_, watcher| watcher.receiver_count() > 0);
    }

    /// Whose figures changed since the last call.
    pub fn drain(&self) -> Vec<Arc<str>> {
        let Some(collected) = &self.collected else { return Vec::new() };
        let changed: Vec<Arc<str>> = collected.iter().map(|organization| organization.clone()).collect();
        for organization in &changed {
            collected.remove(organization);
        }
        changed
    }
}
