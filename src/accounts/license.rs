//! Licenses: signed statements that runtimes fetch by themselves.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::event::Plan;

use super::Accounts;
use super::account::{Account, not_found};
use super::caller::Caller;
use super::change::Change;
use super::database::{DatabaseResult, values};
use super::error::{AccountError, AccountResult};
use super::outbox::Notice;
use super::schedule::LICENSE_RENEWAL;
use super::secret::{base64, from_base64, hex, random};

/// A license is renewed this long before its end, so that runtimes have a month to fetch it.
pub const RENEWED_BEFORE_MS: i64 = 30 * 86_400_000;

/// What runtimes fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct License {
    /// A JSON text, [`Payload`]; the signature is over exactly these bytes.
    pub payload: String,
    /// Ed25519, in base64.
    pub signature: String,
    /// Names the key.
    pub version: String,
}

/// What a license states. An expired license stops the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub customer: String,
    pub organization: String,
    pub license_creation_date: Time,
    pub license_expiration_date: Time,
    pub license_key: String,
    /// `null`: as many as wanted.
    pub admin_seats: Option<u32>,
    pub dataplanes: Option<u32>,
    pub product_subscription: String,
    pub support_plan: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LicenseKey {
    pub version: String,
    /// 32 bytes, in base64.
    pub public_key: String,
}

/// Why a runtime must not trust a license.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LicenseError {
    #[error("verify license: no key has the version {version}: fetch /v1/license-keys again")]
    UnknownKey { version: String },
    #[error("verify license: the signature is not that of the payload")]
    Signature,
    #[error("verify license: the payload can't be read: {reason}")]
    Payload { reason: String },
    #[error("verify license: it expired at {at}")]
    Expired { at: Time },
}

impl License {
    /// What a runtime does with a license before it trusts it.
    pub fn verify(&self, keys: &[LicenseKey], now_ms: i64) -> Result<Payload, LicenseError> {
        let unknown = || LicenseError::UnknownKey { version: self.version.clone() };
        let key = keys.iter().find(|key| key.version == self.version).ok_or_else(unknown)?;
        let key = array(&key.public_key).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        let signature = array(&self.signature).map(|bytes| Signature::from_bytes(&bytes));
        let (Some(key), Some(signature)) = (key, signature) else { return Err(LicenseError::Signature) };
        key.verify_strict(self.payload.as_bytes(), &signature).map_err(|_| LicenseError::Signature)?;
        let payload: Payload = serde_json::from_str(&self.payload)
            .map_err(|error| LicenseError::Payload { reason: error.to_string() })?;
        if payload.license_expiration_date.0 <= now_ms {
            return Err(LicenseError::Expired { at: payload.license_expiration_date });
        }
        Ok(payload)
    }
}

impl Accounts {
    pub async fn license(&self, organization: &str) -> AccountResult<License> {
        let sql = "SELECT payload, signature, key_version FROM licenses WHERE organization = $1";
        let row = self.database.fetch_optional(sql, values![organization]).await?;
        let row = row.ok_or_else(|| not_found(organization))?;
        Ok(License {
            payload: row.text(0)?.to_owned(),
            signature: row.text(1)?.to_owned(),
            version: row.integer(2)?.to_string(),
        })
    }

    /// Every key that ever signed, the newest last: licenses keep their signature until their
    /// renewal.
    pub async fn license_keys(&self) -> AccountResult<Vec<LicenseKey>> {
        let sql = "SELECT version, public_key FROM license_keys ORDER BY version";
        let rows = self.database.fetch_all(sql, &[]).await?;
        let keys = rows.iter().map(|row| {
            Ok(LicenseKey { version: row.integer(0)?.to_string(), public_key: row.text(1)?.to_owned() })
        });
        Ok(keys.collect::<DatabaseResult<_>>()?)
    }

    /// Makes a new signing key; licenses that are made from now on are signed with it. Answers 201.
    pub async fn rotate_license_key(&self, caller: &Caller) -> AccountResult<LicenseKey> {
        caller.require_operator()?;
        let mut change = self.begin(caller).await?;
        let key = change.insert_license_key().await?;
        change.commit(201, &key).await?;
        Ok(key)
    }

    /// The first key is made with the database.
    pub(super) async fn ensure_license_key(&self) -> AccountResult<()> {
        if self.license_keys().await?.is_empty() {
            let mut change = self.begin(&Caller::schedule()).await?;
            let exists = change.fetch_optional("SELECT version FROM license_keys", &[]).await?.is_some();
            if !exists {
                change.insert_license_key().await?;
                change.commit(201, &()).await?;
            }
        }
        Ok(())
    }
}

impl Change<'_> {
    async fn insert_license_key(&mut self) -> AccountResult<LicenseKey> {
        let newest = "SELECT COALESCE(MAX(version), 0) FROM license_keys";
        let row = self.fetch_optional(newest, &[]).await?;
        let version = row.map_or(Ok(0), |row| row.integer(0))? + 1;
        let signing = SigningKey::from_bytes(&random());
        let public_key = base64(signing.verifying_key().as_bytes());
        let sql = "INSERT INTO license_keys (version, public_key, secret_key, created_ms)
                   VALUES ($1, $2, $3, $4)";
        let secret_key = base64(&signing.to_bytes());
        self.execute(sql, values![version, public_key.as_str(), secret_key, self.now_ms()]).await?;
        let after = json!({ "version": version, "public_key": public_key });
        self.record("license-key.created", None, None, Some(after)).await?;
        Ok(LicenseKey { version: version.to_string(), public_key })
    }

    /// A new license that lasts a year from now.
    pub(super) async fn issue_license(&mut self, account: &Account) -> AccountResult<()> {
        let now_ms = self.now_ms();
        self.write_license(account, Term::year_from(now_ms), now_ms).await
    }

    /// The license with what the account is now; its key and its end stay.
    pub(super) async fn reissue_license(&mut self, account: &Account) -> AccountResult<()> {
        let sql = "SELECT license_key, created_ms, expires_ms FROM licenses WHERE organization = $1";
        let row = self.fetch_optional(sql, values![account.id.as_str()]).await?;
        let row = row.ok_or_else(|| not_found(&account.id))?;
        let term = Term {
            license_key: row.text(0)?.to_owned(),
            created_ms: row.integer(1)?,
            expires_ms: row.integer(2)?,
        };
        let now_ms = self.now_ms();
        self.write_license(account, term, now_ms).await
    }

    /// A further year from `due_ms`, when the renewal was due; it may be noticed later than that.
    pub(super) async fn renew_license(&mut self, organization: &str, due_ms: i64) -> AccountResult<()> {
        let account = self.account(organization).await?;
        self.write_license(&account, Term::year_from(due_ms), due_ms).await?;
        let expires_at = Time(Term::year_from(due_ms).expires_ms);
        let after = json!({ "expires_at": expires_at });
        self.record("license.renewed", Some(organization), None, Some(after.clone())).await?;
        self.notify(Notice::new("license.renewed", &account, due_ms, after)).await?;
        Ok(())
    }

    async fn write_license(&mut self, account: &Account, term: Term, at_ms: i64) -> AccountResult<()> {
        let payload = payload(account, &term, at_ms);
        let (version, signing) = self.signing_key(&account.id).await?;
        let signature = base64(&signing.sign(payload.as_bytes()).to_bytes());
        let sql = "INSERT INTO licenses
                (organization, payload, signature, key_version, license_key, created_ms, expires_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (organization) DO UPDATE SET
                payload = excluded.payload, signature = excluded.signature,
                key_version = excluded.key_version, license_key = excluded.license_key,
                created_ms = excluded.created_ms, expires_ms = excluded.expires_ms";
        let Term { license_key, created_ms, expires_ms } = term;
        let id = account.id.as_str();
        self.execute(sql, values![id, payload, signature, version, license_key, created_ms, expires_ms])
            .await?;
        self.schedule(id, LICENSE_RENEWAL, expires_ms - RENEWED_BEFORE_MS).await?;
        Ok(())
    }

    async fn signing_key(&mut self, organization: &str) -> AccountResult<(i64, SigningKey)> {
        let fail = |reason: &str| AccountError::Signing {
            organization: organization.to_owned(),
            reason: reason.to_owned(),
        };
        let sql = "SELECT version, secret_key FROM license_keys ORDER BY version DESC LIMIT 1";
        let row = self.fetch_optional(sql, &[]).await?.ok_or_else(|| fail("there is no signing key"))?;
        let bytes = array(row.text(1)?).ok_or_else(|| fail("the stored signing key is not 32 bytes"))?;
        Ok((row.integer(0)?, SigningKey::from_bytes(&bytes)))
    }
}

struct Term {
    license_key: String,
    created_ms: i64,
    expires_ms: i64,
}

impl Term {
    fn year_from(created_ms: i64) -> Self {
        Self { license_key: hex(&random::<16>()), created_ms, expires_ms: a_year_after(created_ms) }
    }
}

/// The same instant of the next calendar year; of 29 February, the 28th.
fn a_year_after(ms: i64) -> i64 {
    let instant = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_zoned_datetime(TimeZone::UTC);
    instant.checked_add(1.year()).map_or(i64::MAX / 2, |later| later.timestamp().as_millisecond())
}

fn payload(account: &Account, term: &Term, at_ms: i64) -> String {
    let (product_subscription, support_plan) = match account.plan(at_ms) {
        Plan::Free => ("Free", "Community"),
        Plan::Plus => ("Plus", "Business"),
        Plan::Enterprise => ("Enterprise", "Enterprise"),
    };
    let payload = Payload {
        customer: account.name.clone(),
        organization: account.id.clone(),
        license_creation_date: Time(term.created_ms),
        license_expiration_date: Time(term.expires_ms),
        license_key: term.license_key.clone(),
        admin_seats: None,
        dataplanes: None,
        product_subscription: product_subscription.to_owned(),
        support_plan: support_plan.to_owned(),
    };
    serde_json::to_string(&payload).expect("a payload is plain data")
}

fn array<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_base64(text)?.try_into().ok()
}
