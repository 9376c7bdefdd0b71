//! `GET /v1/channels`: the channels that the sessions see, and `GET /v1/sessions`: the sessions themselves; by the same token as media.

use crate::refusal::Refusal;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use config::Secret;
use futures_util::future::join_all;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use mtproto::{Account, CallFault, Channel};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{Fault, SESSIONS_PATH, is_authorized};

/// What the list is made of.
pub(crate) struct Channels {
    /// The accounts that run here.
    pub(crate) accounts: Box<dyn Fn() -> Vec<Arc<Account>> + Send + Sync>,
    /// Describes the sessions, as on the admin listener.
    pub(crate) sessions: Box<dyn Fn() -> Value + Send + Sync>,
    pub(crate) token: Secret,
}

/// A session, and what it sees.
type Answer = (String, Result<Arc<[Channel]>, CallFault>);

pub(crate) fn router(channels: Arc<Channels>) -> Router {
    Router::new().route("/v1/channels", get(list)).route(SESSIONS_PATH, get(sessions)).with_state(channels)
}

async fn sessions(State(channels): State<Arc<Channels>>, headers: HeaderMap) -> Response {
    if !is_authorized(&headers, channels.token.expose()) {
        return Refusal::from(Fault::Unauthorized).response();
    }
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], (channels.sessions)().to_string())
        .into_response()
}

async fn list(State(channels): State<Arc<Channels>>, headers: HeaderMap) -> Response {
    if !is_authorized(&headers, channels.token.expose()) {
        return Refusal::from(Fault::Unauthorized).response();
    }
    let asked = (channels.accounts)().into_iter();
    let asked = asked.map(|account| async move { (account.name().to_owned(), account.channels().await) });
    let listing = listing(&join_all(asked).await);
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], listing.to_string()).into_response()
}

/// Each channel once, with the sessions that see it, and why the others could not say.
fn listing(answers: &[Answer]) -> Value {
    let (mut channels, mut faults) = (BTreeMap::<i64, (&Channel, Vec<&str>)>::new(), Vec::new());
    for (session, answer) in answers {
        match answer {
            Ok(seen) => {
                for channel in seen.iter() {
                    channels.entry(channel.chat_id).or_insert((channel, Vec::new())).1.push(session);
                }
            }
            Err(fault) => faults.push(json!({ "session": session, "fault": fault.to_string() })),
        }
    }
    let rows = channels.into_values().map(|(channel, mut sessions)| {
        sessions.sort_unstable();
        json!({ "chat_id": channel.chat_id, "title": channel.title, "username": channel.username, "sessions": sessions })
    });
    json!({ "channels": rows.collect::<Vec<_>>(), "faults": faults })
}

#[cfg(test)]
mod tests {
    use super::listing;
    use mtproto::{CallFault, Channel};

    #[test]
    fn a_channel_is_listed_once_with_all_who_see_it() {
        let channel = |chat_id: i64, title: &str| Channel { chat_id, title: title.to_owned(), username: None };
        let answers = [
            ("b".to_owned(), Ok([channel(-1005, "Five"), channel(-1006, "Six")].into())),
            ("a".to_owned(), Ok([channel(-1005, "Five")].into())),
            ("c".to_owned(), Err(CallFault::Timeout)),
        ];
        let listing = listing(&answers);
        assert_eq!(listing["channels"][1]["sessions"], serde_json::json!(["a", "b"]));
        assert_eq!(listing["channels"].as_array().unwrap().len(), 2);
        assert_eq!(listing["faults"][0]["fault"], "no answer in time");
    }
}
