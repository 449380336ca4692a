//! Invoices that can't be collected because of what is stored of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::accounts::database::DatabaseError;

/// Numbers that are remembered; beyond them the log repeats itself.
const MOST: usize = 1000;

/// Which of them the log told of: they stay due, and are looked at every second.
#[derive(Debug, Default)]
pub struct Damaged(Mutex<BTreeSet<String>>);

impl Damaged {
    pub fn tell(&self, invoice: &str, error: &DatabaseError) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST {
            told.clear();
        }
        if told.insert(invoice.to_owned()) {
            tracing::error!(invoice, %error, "collect an invoice; the others are collected");
        }
    }
}
