//! `/v1/revocations`: links, sessions and tokens that hold no more.

use crate::acts::RevokeDone;
use crate::clock;
use crate::edge::Edge;
use admin_api::{Call, Changed, Operation, Problem};
use http::{Method, StatusCode};
use identity::Kind;
use plugin_package::Hook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Characters of the longest id.
const LONGEST_ID: usize = 128;
/// The longest that something can be revoked for: 400 days, more than any link, session or token of the settings lasts.
const LONGEST: u64 = 400 * 86_400;

/// What to revoke.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) tenant: String,
    /// `link`, `session` or `token`.
    pub(crate) kind: String,
    /// 1 to 128 of A-Z a-z 0-9 _ -
    pub(crate) id: String,
    /// For how many seconds, from 1 to 34560000: as long as it would hold else.
    pub(crate) seconds: u64,
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let add = |edge: Arc<Edge>, _: Call, wanted: Wanted| revoke(edge, wanted);
    let about = "Revokes a link, a session or a token, at all gateways";
    vec![Operation::writes(Method::POST, "/v1/revocations", "revoke", about, add).refuses(&[
        StatusCode::NOT_FOUND,
        StatusCode::CONFLICT,
        StatusCode::SERVICE_UNAVAILABLE,
    ])]
}

async fn revoke(edge: Arc<Edge>, wanted: Wanted) -> Result<Changed<RevokeDone>, Problem> {
    let Wanted { tenant, kind, id, seconds } = wanted;
    let named = Kind::from_word(&kind).ok_or_else(|| Problem::bad_request("kind is link, session or token"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=LONGEST_ID).contains(&id.len()) || !id.bytes().all(plain) {
        return Err(Problem::bad_request("an id has 1 to 128 of A-Z a-z 0-9 _ -"));
    }
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Problem::bad_request("seconds is from 1 to 34560000"));
    }
    // Of a tenant that a plugin finds nothing is known before it is asked for.
    let may_be_found = || edge.plugins.chain(Hook::Tenant, &Arc::from("")).is_some();
    if edge.directory.channels_of(&tenant).is_none() && !may_be_found() {
        return Err(Problem::not_found(format!("there is no tenant {tenant:?}, and no plugin that could find it")));
    }
    let until = clock::unix().saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
    if named == Kind::Session
        && let Err(error) = edge.identities.store.close(&tenant, &id).await
    {
        // Its tokens are refused all the same, and what renews them is by the next gateway that asks.
        tracing::warn!(%error, tenant, "a session could not be ended in the store");
    }
    let answer = edge.acts.revoke(&tenant, named, &id, until).await?;
    let target = format!("{kind} {id} of {tenant}");
    Ok(Changed { target, answer, before: json!(null), after: json!({ "until": until }) })
}
