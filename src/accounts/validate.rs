//! Checks of what people send. All mistakes of a request are told at once.

use crate::event::is_region;

use super::error::{AccountError, AccountResult, FieldError};

/// The greatest length of names and messages, in characters.
const MAX_NAME: usize = 200;
const MAX_MESSAGE: usize = 10_000;
/// RFC 5321's limit of an address.
const MAX_EMAIL: usize = 254;
const MAX_ID: usize = 128;

#[derive(Default)]
pub struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    pub fn require(&mut self, holds: bool, pointer: &str, detail: &str) {
        if !holds {
            self.errors.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() });
        }
    }

    pub fn finish(self) -> AccountResult<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(AccountError::Invalid { errors: self.errors }) }
    }

    pub fn organization(&mut self, pointer: &str, id: &str) {
        let detail = "an id has 1 to 128 characters of A-Z a-z 0-9 . _ : -";
        self.require(is_organization_id(id), pointer, detail);
    }

    pub fn name(&mut self, pointer: &str, name: &str) {
        let length = name.chars().count();
        let printable = !name.chars().any(char::is_control) && !name.trim().is_empty();
        self.require(printable && length <= MAX_NAME, pointer, "a name has 1 to 200 printable characters");
    }

    pub fn message(&mut self, pointer: &str, message: &str) {
        // A zero byte is what Postgres does not store.
        let fits = !message.trim().is_empty() && message.chars().count() <= MAX_MESSAGE;
        let detail = "a message has 1 to 10000 characters, none of them a zero byte";
        self.require(fits && !message.contains('\0'), pointer, detail);
    }

    pub fn email(&mut self, pointer: &str, email: &str) {
        let plain = email.len() <= MAX_EMAIL && !email.chars().any(|c| c.is_whitespace() || c.is_control());
        let parts = email.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !local.contains('@') && !domain.is_empty() && !domain.starts_with('.')
        });
        self.require(plain && parts, pointer, "an e-mail address looks like name@example.com");
    }

    pub fn region(&mut self, pointer: &str, region: &str) {
        self.require(is_region(region), pointer, "a region has 1 to 16 characters of a-z 0-9 -");
    }
}

/// `[A-Za-z0-9._:-]{1,128}`
pub fn is_organization_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}
