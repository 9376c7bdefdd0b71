//! What guests may call.
#![allow(clippy::disallowed_methods, reason = "owns the wall clock that guests see")]

use crate::bindings::streamvault::plugin::{clock, config, kv, log, random, requests};
use crate::failure::Halt;
use crate::request::{Identity, Request};
use crate::state::{MOST_RANDOM_BYTES, MOST_WITHOUT, State};
use crate::text::log_line;
use plugin_kv::KvError;
use plugin_package::Value;
use rand::Rng as _;
use std::time::{Duration, SystemTime};
use wasmtime::Result;
use wasmtime::component::Resource;

/// Stands for the request of the call at hand. There is one at a time, so that the number in a handle says nothing: what it leads
/// to is put into the store before the call and taken out after it.
#[expect(unreachable_pub, reason = "the generated code re-exports it")]
#[derive(Debug)]
pub enum Handle {}

impl State {
    fn request(&self) -> Result<&Request> {
        self.call.request.as_deref().ok_or_else(|| Halt::NoRequest.into())
    }
}

impl requests::Host for State {}

impl requests::HostRequest for State {
    fn id(&mut self, _: Resource<Handle>) -> Result<String> {
        Ok(self.request()?.id.clone())
    }

    fn tenant(&mut self, _: Resource<Handle>) -> Result<String> {
        Ok(self.request()?.tenant.as_ref().to_owned())
    }

    fn method(&mut self, _: Resource<Handle>) -> Result<String> {
        Ok(self.request()?.method.to_owned())
    }

    fn host(&mut self, _: Resource<Handle>) -> Result<String> {
        Ok(self.request()?.host.clone())
    }

    fn path(&mut self, _: Resource<Handle>) -> Result<String> {
        Ok(self.request()?.path.clone())
    }

    fn query(&mut self, _: Resource<Handle>, name: String) -> Result<Option<String>> {
        self.handed_over(name.len())?;
        Ok(self.request()?.query(&name).map(str::to_owned))
    }

    fn url(&mut self, _: Resource<Handle>, without: Vec<String>) -> Result<String> {
        if without.len() > MOST_WITHOUT {
            return Err(Halt::Excess("more than 32 parameters to leave out of a URL").into());
        }
        self.handed_over(without.iter().map(String::len).sum())?;
        Ok(self.request()?.url(&without))
    }

    fn header(&mut self, _: Resource<Handle>, name: String) -> Result<Option<String>> {
        self.handed_over(name.len())?;
        let request = self.request()?;
        let visible = self.shared.visible.headers.iter().any(|visible| visible.eq_ignore_ascii_case(&name));
        Ok(visible.then(|| request.header(&name).map(str::to_owned)).flatten())
    }

    fn cookie(&mut self, _: Resource<Handle>, name: String) -> Result<Option<String>> {
        self.handed_over(name.len())?;
        let request = self.request()?;
        let visible = self.shared.visible.cookies.contains(&name);
        Ok(visible.then(|| request.cookie(&name).map(str::to_owned)).flatten())
    }

    fn remote_address(&mut self, _: Resource<Handle>) -> Result<Option<String>> {
        Ok(self.request()?.remote_address.clone())
    }

    fn identity(&mut self, _: Resource<Handle>) -> Result<requests::Identity> {
        Ok(match self.request()?.identity {
            Identity::Anonymous => requests::Identity::Anonymous,
            Identity::Invalid => requests::Identity::Invalid,
            Identity::Verified => requests::Identity::Verified,
        })
    }

    fn claim(&mut self, _: Resource<Handle>, name: String) -> Result<Option<String>> {
        self.handed_over(name.len())?;
        Ok(self.request()?.claim(&name).map(std::borrow::Cow::into_owned))
    }

    fn viewer(&mut self, _: Resource<Handle>) -> Result<String> {
        Ok(self.request()?.viewer.clone())
    }

    fn media(&mut self, _: Resource<Handle>) -> Result<requests::Media> {
        let media = self.request()?.media;
        Ok(requests::Media { chat_id: media.chat_id, message_id: media.message_id })
    }

    fn link(&mut self, _: Resource<Handle>) -> Result<requests::Link> {
        let link = &self.request()?.link;
        Ok(requests::Link { key_id: link.key_id.to_string(), expires: link.expires, expired: link.expired })
    }

    fn range(&mut self, _: Resource<Handle>) -> Result<Option<String>> {
        Ok(self.request()?.range.clone())
    }

    fn size(&mut self, _: Resource<Handle>) -> Result<Option<u64>> {
        Ok(self.request()?.size())
    }

    fn content_type(&mut self, _: Resource<Handle>) -> Result<Option<String>> {
        Ok(self.request()?.content_type().map(str::to_owned))
    }

    fn drop(&mut self, _: Resource<Handle>) -> Result<()> {
        Ok(())
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The second that rates are counted in.
pub(crate) fn second() -> u64 {
    since_1970().as_secs()
}

impl clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        Ok(u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX))
    }
}

impl random::Host for State {
    fn bytes(&mut self, count: u32) -> Result<Vec<u8>> {
        if count > MOST_RANDOM_BYTES {
            return Err(Halt::Excess("more than 1,024 random bytes at once").into());
        }
        let mut bytes = vec![0; usize::try_from(count)?];
        rand::rng().fill_bytes(&mut bytes);
        Ok(bytes)
    }
}

impl config::Host for State {
    fn get(&mut self, name: String) -> Result<Option<config::Value>> {
        self.handed_over(name.len())?;
        Ok(self.shared.settings.get(&name).map(|value| match value {
            Value::Text(text) => config::Value::Text(text.clone()),
            Value::Secret(secret) => config::Value::Text(secret.expose().to_owned()),
            Value::Integer(number) => config::Value::Integer(*number),
            Value::Boolean(flag) => config::Value::Boolean(*flag),
            Value::Texts(texts) => config::Value::Texts(texts.clone()),
        }))
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, text: String) -> Result<()> {
        self.handed_over(text.len())?;
        // What the log's filter drops anyway must not use up the budget of what it lets through.
        let heard = match level {
            log::Level::Debug => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
            log::Level::Info => tracing::enabled!(target: "plugin", tracing::Level::INFO),
            log::Level::Warn => tracing::enabled!(target: "plugin", tracing::Level::WARN),
            log::Level::Error => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
        };
        if !heard || !self.log_line(second()) {
            return Ok(());
        }
        let line = log_line(&text);
        let plugin = self.shared.plugin.as_ref();
        let tenant = self.tenant.as_ref();
        let request_id = self.call.request.as_ref().map_or("", |request| request.id.as_str());
        match level {
            log::Level::Debug => tracing::debug!(target: "plugin", plugin, tenant, request_id, "{line}"),
            log::Level::Info => tracing::info!(target: "plugin", plugin, tenant, request_id, "{line}"),
            log::Level::Warn => tracing::warn!(target: "plugin", plugin, tenant, request_id, "{line}"),
            log::Level::Error => tracing::error!(target: "plugin", plugin, tenant, request_id, "{line}"),
        }
        Ok(())
    }
}

type Kept<T> = Result<std::result::Result<T, kv::Error>>;

impl kv::Host for State {
    async fn get(&mut self, key: String) -> Kept<Option<Vec<u8>>> {
        self.kv_operation(key.len())?;
        let answer = self.kv.get(&key).await;
        Ok(self.answered(answer).map_err(why))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl: u32) -> Kept<()> {
        self.kv_operation(key.len().saturating_add(value.len()))?;
        let answer = self.kv.set(&key, &value, ttl).await;
        Ok(self.answered(answer).map_err(why))
    }

    async fn set_if_absent(&mut self, key: String, value: Vec<u8>, ttl: u32) -> Kept<bool> {
        self.kv_operation(key.len().saturating_add(value.len()))?;
        let answer = self.kv.set_if_absent(&key, &value, ttl).await;
        Ok(self.answered(answer).map_err(why))
    }

    async fn take(&mut self, key: String) -> Kept<Option<Vec<u8>>> {
        self.kv_operation(key.len())?;
        let answer = self.kv.take(&key).await;
        Ok(self.answered(answer).map_err(why))
    }

    async fn delete(&mut self, key: String) -> Kept<()> {
        self.kv_operation(key.len())?;
        let answer = self.kv.delete(&key).await;
        Ok(self.answered(answer).map_err(why))
    }

    async fn increment(&mut self, key: String, by: i64, ttl: u32) -> Kept<i64> {
        self.kv_operation(key.len())?;
        let answer = self.kv.increment(&key, by, ttl).await;
        Ok(self.answered(answer).map_err(why))
    }

    async fn count_distinct(&mut self, key: String, member: String, ttl: u32) -> Kept<u64> {
        self.kv_operation(key.len().saturating_add(member.len()))?;
        let answer = self.kv.count_distinct(&key, &member, ttl).await;
        Ok(self.answered(answer).map_err(why))
    }
}

fn why(error: KvError) -> kv::Error {
    match error {
        KvError::OutOfBounds => kv::Error::OutOfBounds,
        KvError::Full => kv::Error::Full,
        KvError::Unavailable => kv::Error::Unavailable,
        KvError::NotANumber => kv::Error::NotANumber,
    }
}
