//! Sessions of the pages: opened with a key or by the operator, signed in by a link, over within
//! the hour.

use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::clock::Time;

use super::caller::{Actor, Caller, Role};
use super::database::{DatabaseError, DatabaseResult, Row, values};
use super::error::{AccountError, AccountResult};
use super::secret::{self, hex};
use super::{Accounts, List, Page, identifier};

/// A session's token reads `ops_ID_SECRET`: 32 random bytes, and a tag that says that this installation
/// gave them out. What strangers guess is told from that without asking the database.
const PREFIX: &str = "ops_";
/// Hex digits of a tag: 128 bits of an HMAC.
const TAG_DIGITS: usize = 32;
/// How long a session lasts.
pub const LASTS_MS: i64 = 3_600_000;
/// The role of a session that reaches every organization.
const OPERATOR: &str = "operator";

/// The only answer that shows a session's link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedPortalSession {
    pub id: String,
    /// `admin` or `viewer`; `operator` for a session of the operator's page.
    #[schema(example = "admin")]
    pub role: String,
    /// Whoever opens it in a browser is signed in.
    pub url: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
}

impl std::fmt::Debug for CreatedPortalSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedPortalSession")
            .field("id", &self.id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// An open session, without what opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PortalSession {
    pub id: String,
    pub role: Role,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
}

/// Whom a session stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionHolder {
    Operator,
    Member { organization: String, role: Role },
}

/// A session that somebody is signed in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub id: String,
    pub holder: SessionHolder,
    /// What every form of this session's pages carries, so that no other site can send one.
    pub form_token: String,
    pub expires_at: Time,
}

struct Opening<'a> {
    organization: Option<&'a str>,
    role: &'static str,
    /// What the link's token is put after.
    link: &'a str,
}

impl Accounts {
    /// Opens a session of an organization's pages with the role of whoever asks; the operator's is
    /// `admin`. Its link is `link` with the token after it. Answers 201.
    pub async fn open_portal_session(
        &self,
        caller: &Caller,
        organization: &str,
        link: &str,
    ) -> AccountResult<CreatedPortalSession> {
        let role = match &caller.actor {
            Actor::Key { organization: own, .. } if own != organization => {
                return Err(super::account::not_found(organization));
            }
            Actor::Key { role: Role::Runtime, .. } => {
                let needed = "an admin or a viewer";
                return Err(AccountError::Role { role: Role::Runtime.as_str(), needed });
            }
            Actor::Key { role, .. } => *role,
            Actor::Operator | Actor::Schedule => Role::Admin,
        };
        self.open_session(caller, &Opening { organization: Some(organization), role: role.as_str(), link })
            .await
    }

    /// Opens a session of the operator's page. Answers 201.
    pub async fn open_operator_session(
        &self,
        caller: &Caller,
        link: &str,
    ) -> AccountResult<CreatedPortalSession> {
        caller.require_operator()?;
        self.open_session(caller, &Opening { organization: None, role: OPERATOR, link }).await
    }

    async fn open_session(
        &self,
        caller: &Caller,
        opening: &Opening<'_>,
    ) -> AccountResult<CreatedPortalSession> {
        let Opening { organization, role, link } = *opening;
        let mut change = self.begin(caller).await?;
        if let Some(organization) = organization {
            change.account(organization).await?;
        }
        let id = identifier("session");
        let random_part = hex(&secret::random::<32>());
        let secret_part = format!("{random_part}{}", self.session_tag(&id, &random_part));
        let now_ms = change.now_ms();
        let api_key = match &caller.actor {
            Actor::Key { id, .. } => Some(id.clone()),
            Actor::Operator | Actor::Schedule => None,
        };
        let answer = CreatedPortalSession {
            url: format!("{link}{PREFIX}{id}_{secret_part}"),
            role: role.to_owned(),
            expires_at: Time(now_ms + LASTS_MS),
            id,
        };
        let sql = "INSERT INTO portal_sessions
                (id, organization, role, api_key, hash, created_ms, expires_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = values![
            answer.id.as_str(),
            organization.map(str::to_owned),
            role,
            api_key,
            self.session_hash(&secret_part),
            now_ms,
            now_ms + LASTS_MS
        ];
        change.execute(sql, values).await?;
        let after = json!({ "id": answer.id, "role": role, "expires_at": answer.expires_at });
        change.record("portal-session.opened", organization, None, Some(after)).await?;
        change.commit(201, &answer).await?;
        Ok(answer)
    }

    /// The sessions that are open.
    pub async fn portal_sessions(
        &self,
        organization: &str,
        page: &Page,
    ) -> AccountResult<List<PortalSession>> {
        self.account(organization).await?;
        let sql = "SELECT id, role, created_ms, expires_ms FROM portal_sessions
                   WHERE organization = $1 AND id > $2 AND expires_ms > $3
                     AND (api_key IS NULL OR api_key IN (SELECT id FROM api_keys))
                   ORDER BY id LIMIT $4";
        let values = values![organization, page.after(), self.clock.now_ms(), page.fetch()];
        let rows = self.database.fetch_all(sql, values).await?;
        let sessions = rows.iter().map(read).collect::<DatabaseResult<Vec<_>>>()?;
        Ok(page.list(sessions, |session| session.id.clone()))
    }

    /// Ends a session at once, in every process. Answers 204.
    pub async fn revoke_portal_session(
        &self,
        caller: &Caller,
        organization: &str,
        id: &str,
    ) -> AccountResult<()> {
        caller.require_admin(organization)?;
        let mut change = self.begin(caller).await?;
        change.account(organization).await?;
        let sql = "DELETE FROM portal_sessions WHERE organization = $1 AND id = $2";
        if change.execute(sql, values![organization, id]).await? == 0 {
            return Err(AccountError::NotFound { what: "portal session", id: id.to_owned() });
        }
        change.record("portal-session.revoked", Some(organization), Some(json!({ "id": id })), None).await?;
        change.commit(204, &()).await
    }

    /// Ends the session that somebody is signed in with: it opens nothing any more.
    pub async fn sign_out(&self, caller: &Caller, session: &SignedIn) -> AccountResult<()> {
        let organization = match &session.holder {
            SessionHolder::Operator => None,
            SessionHolder::Member { organization, .. } => Some(organization.as_str()),
        };
        let mut change = self.begin(caller).await?;
        let sql = "DELETE FROM portal_sessions WHERE id = $1";
        // Where it has ended otherwise meanwhile, that is in the log.
        if change.execute(sql, values![session.id.as_str()]).await? > 0 {
            let before = json!({ "id": session.id });
            change.record("portal-session.signed-out", organization, Some(before), None).await?;
        }
        change.commit(303, &()).await
    }

    /// Whom a session's token stands for, as long as the session is open.
    pub async fn signed_in(&self, token: &str) -> DatabaseResult<Option<SignedIn>> {
        let Some((id, secret_part)) = token.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('_'))
        else {
            return Ok(None);
        };
        if !self.gave_out(id, secret_part) {
            return Ok(None);
        }
        let sql = "SELECT organization, role, hash, expires_ms FROM portal_sessions
                   WHERE id = $1 AND expires_ms > $2
                     AND (api_key IS NULL OR api_key IN (SELECT id FROM api_keys))";
        let Some(row) = self.database.fetch_optional(sql, values![id, self.clock.now_ms()]).await? else {
            return Ok(None);
        };
        let hash = self.session_hash(secret_part);
        // Compared in constant time, so that the answer's time says nothing of the hash.
        if !bool::from(row.text(2)?.as_bytes().ct_eq(hash.as_bytes())) {
            return Ok(None);
        }
        Ok(Some(SignedIn {
            id: id.to_owned(),
            holder: holder(id, row.optional_text(0)?, row.text(1)?)?,
            form_token: hex(&secret::mac(&self.secret, "form token", &[id.as_bytes()])),
            expires_at: Time(row.integer(3)?),
        }))
    }

    /// Whether a form came from a page of this session.
    pub fn is_form_token(session: &SignedIn, token: &str) -> bool {
        session.form_token.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Forgets sessions that are over.
    pub(super) async fn sweep_portal_sessions(&self) -> DatabaseResult<u64> {
        let sql = "DELETE FROM portal_sessions WHERE expires_ms <= $1";
        self.database.execute(sql, values![self.clock.now_ms()]).await
    }

    /// Whether a token's secret is one that was given out for the session, which may be over.
    fn gave_out(&self, id: &str, secret_part: &str) -> bool {
        let split = secret_part.len().checked_sub(TAG_DIGITS);
        let parts = split.and_then(|split| secret_part.split_at_checked(split));
        parts.is_some_and(|(random_part, tag)| {
            self.session_tag(id, random_part).as_bytes().ct_eq(tag.as_bytes()).into()
        })
    }

    fn session_tag(&self, id: &str, random_part: &str) -> String {
        let parts = [id.as_bytes(), random_part.as_bytes()];
        let mut tag = hex(&secret::mac(&self.secret, "portal session tag", &parts));
        tag.truncate(TAG_DIGITS);
        tag
    }

    fn session_hash(&self, secret_part: &str) -> String {
        hex(&secret::mac(&self.secret, "portal session", &[secret_part.as_bytes()]))
    }
}

fn holder(id: &str, organization: Option<&str>, role: &str) -> DatabaseResult<SessionHolder> {
    match organization {
        None if role == OPERATOR => Ok(SessionHolder::Operator),
        None => Err(unknown_role(id)),
        Some(organization) => {
            Ok(SessionHolder::Member { organization: organization.to_owned(), role: role_of(id, role)? })
        }
    }
}

fn read(row: &Row) -> DatabaseResult<PortalSession> {
    let id = row.text(0)?.to_owned();
    Ok(PortalSession {
        role: role_of(&id, row.text(1)?)?,
        id,
        created_at: Time(row.integer(2)?),
        expires_at: Time(row.integer(3)?),
    })
}

fn role_of(id: &str, role: &str) -> DatabaseResult<Role> {
    role.parse().map_err(|()| unknown_role(id))
}

fn unknown_role(id: &str) -> DatabaseError {
    DatabaseError::Content { what: format!("role of portal session {id} is unknown") }
}
