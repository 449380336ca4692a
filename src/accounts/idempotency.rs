//! Answers to mutations, kept for a day under the client's `Idempotency-Key`.
//!
//! The key itself is not stored, only a keyed hash; the answer is encrypted under the key, because
//! some answers hold a secret that is shown once and otherwise stored hashed alone.

use ring::aead;

use crate::clock::Clock;

use super::Accounts;
use super::database::{DatabaseError, DatabaseResult, Transaction, values};
use super::secret::{self, base64, from_base64, hex};

/// How long an answer is kept.
pub const KEPT_MS: i64 = 24 * 3_600_000;
/// A request without an answer after this long (by the system's clock) was cut off by a crash: its
/// change was rolled back, so it may run again. Far longer than any request may take.
const ABANDONED_MS: i64 = 120_000;

/// What a request with an idempotency key is to do.
#[derive(Debug)]
pub enum Begin {
    /// Run, and store the answer.
    Run(Pending),
    /// Give this answer again.
    Replay(StoredAnswer),
    /// The key was used for another request: 422.
    Mismatch,
    /// The first request is still under way: 409.
    InProgress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    /// JSON; empty where the answer had no body.
    pub body: Vec<u8>,
}

/// A request under way, known by its key.
#[derive(Clone)]
pub struct Pending {
    id: String,
    /// Encrypts this key's answers.
    key: [u8; 32],
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Looks up a mutation's key. `scope` tells callers apart; `request` is whatever must be the
    /// same for the requests to be the same: method, path, body.
    pub async fn idempotent(&self, scope: &str, key: &str, request: &[u8]) -> DatabaseResult<Begin> {
        let derive = |purpose: &str, parts: &[&[u8]]| secret::mac(&self.secret, purpose, parts);
        let id = hex(&derive("idempotency id", &[scope.as_bytes(), key.as_bytes()]));
        let fingerprint = hex(&derive("idempotency request", &[scope.as_bytes(), key.as_bytes(), request]));
        let answer_key = derive("idempotency answer", &[scope.as_bytes(), key.as_bytes()]);
        let pending = Pending { id, key: answer_key };
        let now_ms = self.clock.now_ms();
        let started_ms = Clock::System.now_ms();
        let expired = "DELETE FROM idempotency WHERE id = $1
                       AND (created_ms <= $2 OR (status IS NULL AND started_ms <= $3))";
        let values = values![pending.id.as_str(), now_ms - KEPT_MS, started_ms - ABANDONED_MS];
        self.database.execute(expired, values).await?;
        let inserted = self
            .database
            .execute(
                "INSERT INTO idempotency (id, fingerprint, status, answer, created_ms, started_ms)
                 VALUES ($1, $2, NULL, NULL, $3, $4) ON CONFLICT (id) DO NOTHING",
                values![pending.id.as_str(), fingerprint.as_str(), now_ms, started_ms],
            )
            .await?;
        if inserted == 1 {
            return Ok(Begin::Run(pending));
        }
        let sql = "SELECT fingerprint, status, answer FROM idempotency WHERE id = $1";
        let Some(row) = self.database.fetch_optional(sql, values![pending.id.as_str()]).await? else {
            return Ok(Begin::InProgress);
        };
        if row.text(0)? != fingerprint {
            return Ok(Begin::Mismatch);
        }
        match row.optional_integer(1)? {
            None => Ok(Begin::InProgress),
            Some(status) => Ok(Begin::Replay(pending.open(status, row.text(2)?)?)),
        }
    }

    /// Stores the answer of a request that made no change of the accounts; one that is stored
    /// already stays.
    pub async fn finish_idempotent(&self, pending: &Pending, status: u16, body: &[u8]) -> DatabaseResult<()> {
        let answer = pending.seal(body)?;
        let values = values![pending.id.as_str(), i64::from(status), answer];
        self.database.execute(STORE, values).await?;
        Ok(())
    }

    /// Forgets a request that failed on our side, so that it can be tried again.
    pub async fn abandon_idempotent(&self, pending: &Pending) -> DatabaseResult<()> {
        let sql = "DELETE FROM idempotency WHERE id = $1 AND status IS NULL";
        self.database.execute(sql, values![pending.id.as_str()]).await?;
        Ok(())
    }

    /// Deletes answers older than a day.
    pub(super) async fn sweep_idempotency(&self) -> DatabaseResult<u64> {
        let sql = "DELETE FROM idempotency WHERE created_ms <= $1";
        self.database.execute(sql, values![self.clock.now_ms() - KEPT_MS]).await
    }
}

const STORE: &str = "UPDATE idempotency SET status = $2, answer = $3 WHERE id = $1 AND status IS NULL";

impl Pending {
    /// Stores the answer together with the change that it tells of.
    pub(super) async fn store(
        &self,
        transaction: &mut Transaction,
        status: u16,
        body: &[u8],
    ) -> DatabaseResult<()> {
        let answer = self.seal(body)?;
        transaction.execute(STORE, values![self.id.as_str(), i64::from(status), answer]).await?;
        Ok(())
    }

    /// Nonce and ciphertext in base64. A key seals one answer, and only once.
    fn seal(&self, body: &[u8]) -> DatabaseResult<String> {
        let nonce: [u8; aead::NONCE_LEN] = secret::random();
        let mut sealed = body.to_vec();
        self.cipher()
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(self.id.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| DatabaseError::Content { what: "an answer could not be encrypted".to_owned() })?;
        Ok(base64(&[nonce.as_slice(), &sealed].concat()))
    }

    fn open(&self, status: i64, answer: &str) -> DatabaseResult<StoredAnswer> {
        let unreadable = || DatabaseError::Content { what: "a stored answer can't be decrypted".to_owned() };
        let bytes = from_base64(answer).ok_or_else(unreadable)?;
        let (nonce, sealed) = bytes.split_at_checked(aead::NONCE_LEN).ok_or_else(unreadable)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| unreadable())?;
        let mut opened = sealed.to_vec();
        let body = self
            .cipher()
            .open_in_place(nonce, aead::Aad::from(self.id.as_bytes()), &mut opened)
            .map_err(|_| unreadable())?
            .to_vec();
        Ok(StoredAnswer { status: u16::try_from(status).map_err(|_| unreadable())?, body })
    }

    fn cipher(&self) -> aead::LessSafeKey {
        let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, &self.key).expect("32 bytes");
        aead::LessSafeKey::new(key)
    }
}
