//! Random secrets, keyed hashes, and how bytes are written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore;
use ring::hmac;

use super::database::{Database, DatabaseError, DatabaseResult, values};

/// The installation's secret: API keys and idempotency keys are hashed under it.
pub type Secret = [u8; 32];

/// Bytes of the operating system's random source.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// HMAC-SHA256 over a purpose and some parts, each with its length, so that no two lists of parts
/// read the same.
pub fn mac(secret: &Secret, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    for part in [purpose.as_bytes()].iter().chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The installation's secret of this name, made at its first use.
pub async fn stored(database: &Database, name: &'static str) -> DatabaseResult<Secret> {
    let sql = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    database.execute(sql, values![name, base64(&random::<32>())]).await?;
    let row = database.fetch_optional("SELECT value FROM secrets WHERE name = $1", values![name]).await?;
    let bytes = row.as_ref().and_then(|row| row.text(0).ok()).and_then(from_base64);
    let secret = bytes.and_then(|bytes| bytes.try_into().ok());
    secret.ok_or_else(|| DatabaseError::Content { what: format!("secret {name} is not 32 bytes") })
}
