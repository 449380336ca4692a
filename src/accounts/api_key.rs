//! API keys: 256 random bits, shown once, stored as a keyed hash.

use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::clock::Time;

use super::caller::{Caller, Role};
use super::database::{DatabaseError, DatabaseResult, Row, values};
use super::error::{AccountError, AccountResult};
use super::secret::{self, hex};
use super::validate::Checks;
use super::{Accounts, List, Page, identifier};

/// A key reads `odo_ID_SECRET`.
const PREFIX: &str = "odo_";

#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    pub role: Role,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiKey {
    pub id: String,
    pub role: Role,
    pub name: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// To the minute; `null` where it was never used.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Time>,
}

/// The only answer that shows a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedApiKey {
    pub id: String,
    pub role: Role,
    pub name: String,
    pub key: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

impl std::fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedApiKey")
            .field("id", &self.id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Whom a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    pub id: String,
    pub organization: String,
    pub role: Role,
}

/// A key as the directory keeps it.
#[derive(Clone, Debug)]
pub(super) struct StoredKey {
    pub holder: KeyHolder,
    hash: String,
}

impl StoredKey {
    /// Columns: id, organization, role, hash.
    pub fn from_row(row: &Row) -> DatabaseResult<Self> {
        let id = row.text(0)?.to_owned();
        let role = row.text(2)?.parse();
        let role =
            role.map_err(|()| DatabaseError::Content { what: format!("role of key {id} is unknown") })?;
        let holder = KeyHolder { id, organization: row.text(1)?.to_owned(), role };
        Ok(Self { holder, hash: row.text(3)?.to_owned() })
    }
}

impl Accounts {
    /// Answers 201, with the key.
    pub async fn create_api_key(
        &self,
        caller: &Caller,
        organization: &str,
        request: &NewApiKey,
    ) -> AccountResult<CreatedApiKey> {
        caller.require_admin(organization)?;
        let mut checks = Checks::default();
        checks.name("/name", &request.name);
        checks.finish()?;
        let mut change = self.begin(caller).await?;
        change.account(organization).await?;
        let (id, secret_part) = (identifier("key"), hex(&secret::random::<32>()));
        let now_ms = change.now_ms();
        let answer = CreatedApiKey {
            key: format!("{PREFIX}{id}_{secret_part}"),
            role: request.role,
            name: request.name.clone(),
            created_at: Time(now_ms),
            id,
        };
        let sql = "INSERT INTO api_keys (id, organization, role, name, hash, created_ms)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let hash = self.key_hash(&secret_part);
        let (id, role, name) = (answer.id.as_str(), answer.role.as_str(), answer.name.as_str());
        change.execute(sql, values![id, organization, role, name, hash, now_ms]).await?;
        change.touch(organization).await?;
        let after = json!({ "id": id, "role": role, "name": name });
        change.record("api-key.created", Some(organization), None, Some(after)).await?;
        change.commit(201, &answer).await?;
        Ok(answer)
    }

    pub async fn api_keys(&self, organization: &str, page: &Page) -> AccountResult<List<ApiKey>> {
        self.account(organization).await?;
        let sql = "SELECT id, role, name, created_ms, last_used_ms FROM api_keys
                   WHERE organization = $1 AND id > $2 ORDER BY id LIMIT $3";
        let rows = self.database.fetch_all(sql, values![organization, page.after(), page.fetch()]).await?;
        let keys = rows.iter().map(read).collect::<DatabaseResult<Vec<_>>>()?;
        Ok(page.list(keys, |key| key.id.clone()))
    }

    /// Revokes a key: at once in this process, within the directory's interval in others.
    /// Answers 204.
    pub async fn delete_api_key(&self, caller: &Caller, organization: &str, id: &str) -> AccountResult<()> {
        caller.require_admin(organization)?;
        let mut change = self.begin(caller).await?;
        change.account(organization).await?;
        let sql = "DELETE FROM api_keys WHERE organization = $1 AND id = $2";
        if change.execute(sql, values![organization, id]).await? == 0 {
            return Err(AccountError::NotFound { what: "API key", id: id.to_owned() });
        }
        change.touch(organization).await?;
        change.record("api-key.deleted", Some(organization), Some(json!({ "id": id })), None).await?;
        change.commit(204, &()).await
    }

    /// Whom a bearer token stands for, and notes its use. From memory where the directory is
    /// loaded.
    pub async fn authenticate(&self, token: &str) -> DatabaseResult<Option<KeyHolder>> {
        let Some((id, secret_part)) = token.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('_'))
        else {
            return Ok(None);
        };
        let stored = match self.directory() {
            Some(directory) => directory.key(id),
            None => {
                let sql = "SELECT id, organization, role, hash FROM api_keys WHERE id = $1";
                let row = self.database.fetch_optional(sql, values![id]).await?;
                row.as_ref().map(StoredKey::from_row).transpose()?
            }
        };
        let hash = self.key_hash(secret_part);
        // Compared in constant time, so that the answer's time says nothing of the hash.
        let matches = |stored: &StoredKey| bool::from(stored.hash.as_bytes().ct_eq(hash.as_bytes()));
        let holder = stored.filter(matches).map(|stored| stored.holder);
        if let Some(holder) = &holder {
            self.key_uses.note(&holder.id, self.clock.now_ms());
        }
        Ok(holder)
    }

    /// Writes down when keys were used last. It is no change of an account: no log, no version.
    pub(super) async fn store_key_uses(&self) -> DatabaseResult<()> {
        for (id, used_ms) in self.key_uses.take() {
            let sql = "UPDATE api_keys SET last_used_ms = $2
                       WHERE id = $1 AND (last_used_ms IS NULL OR last_used_ms < $2)";
            self.database.execute(sql, values![id, used_ms]).await?;
        }
        Ok(())
    }

    fn key_hash(&self, secret_part: &str) -> String {
        hex(&secret::mac(&self.secret, "api key", &[secret_part.as_bytes()]))
    }
}

fn read(row: &Row) -> DatabaseResult<ApiKey> {
    let id = row.text(0)?.to_owned();
    let role = row.text(1)?.parse();
    Ok(ApiKey {
        role: role.map_err(|()| DatabaseError::Content { what: format!("role of key {id} is unknown") })?,
        id,
        name: row.text(2)?.to_owned(),
        created_at: Time(row.integer(3)?),
        last_used_at: row.optional_integer(4)?.map(Time),
    })
}

/// Latest use by key, since they were last written down: bounded by the number of keys.
#[derive(Debug, Default)]
pub(super) struct KeyUses {
    latest: dashmap::DashMap<String, i64>,
}

impl KeyUses {
    fn note(&self, id: &str, now_ms: i64) {
        // The usual case allocates nothing.
        match self.latest.get_mut(id) {
            Some(mut used) => *used = now_ms,
            None => drop(self.latest.insert(id.to_owned(), now_ms)),
        }
    }

    fn take(&self) -> Vec<(String, i64)> {
        let ids: Vec<String> = self.latest.iter().map(|entry| entry.key().clone()).collect();
        ids.iter().filter_map(|id| self.latest.remove(id)).collect()
    }
}
