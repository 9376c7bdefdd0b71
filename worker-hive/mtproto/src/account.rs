//! One account: its data-centres, its authorization in them, and the chunks it fetches.

use crate::config::ClientConfig;
use crate::datacentre::Datacentre;
use crate::fault::{CallFault, classify};
use crate::folder::SessionFolder;
use crate::link::LinkOwner;
use crate::locate::Sweep;
use crate::media::Location;
use crate::revoked::Revoked;
use crate::route::Route;
use crate::schema::StoreError;
use crate::setting::Setting;
use crate::slots::Slot;
use crate::store::{AccountInfo, AccountStore};
use crate::tally::Connections;
use bytes::Bytes;
use grammers_mtsender::InvocationError;
use grammers_tl_types::{Deserializable, Identifiable, RemoteCall, enums, functions, types};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The largest `limit` of [`Account::get_chunk`], in bytes. Telegram would give 1 MiB, but an answer of that size is more than
/// the MTProto library's buffers hold.
pub const MAX_CHUNK: u32 = 512 * 1024;

/// A session that is used: keeps its connections warm until it is dropped.
pub struct Account {
    me: Weak<Self>,
    name: String,
    pub(crate) store: Arc<AccountStore>,
    pub(crate) config: Arc<ClientConfig>,
    datacentres: Mutex<HashMap<i32, Arc<Datacentre>>>,
    pub(crate) sweep: Arc<tokio::sync::Mutex<Sweep>>,
    rest: Mutex<Option<Rest>>,
    revoked: Arc<Revoked>,
    route: Route,
}

/// Telegram told the account to wait.
#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    premium_exempt: bool,
}

impl Account {
    /// Opens the session of that name and starts connecting to its home data-centre. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError`] when the session file is missing, foreign or damaged.
    pub fn open(folder: &SessionFolder, account: &str, config: Arc<ClientConfig>) -> Result<Arc<Self>, StoreError> {
        let store = Arc::new(folder.open_store(account)?);
        let route = match store.setting(Setting::Route) {
            // Going another way than the operator said is worse than not going.
            Some(text) => Route::parse(&text).map_err(StoreError::Route)?,
            None => config.route.clone(),
        };
        let this = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            name: account.to_owned(),
            store,
            config,
            datacentres: Mutex::default(),
            sweep: Arc::default(),
            rest: Mutex::default(),
            revoked: Arc::default(),
            route,
        });
        let info = this.store.info();
        // Every data-centre that was of use before is of use again: warm it before the first viewer asks.
        for dc in info.authorized_dcs.iter().copied().chain([info.home_dc]) {
            this.datacentre(dc);
        }
        Ok(this)
    }

    /// The session's name in its store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who the session is, as far as the store knows.
    #[must_use]
    pub fn info(&self) -> AccountInfo {
        self.store.info()
    }

    /// What the operator set for this session, as its file said when it was opened.
    #[must_use]
    pub fn setting(&self, setting: Setting) -> Option<String> {
        self.store.setting(setting)
    }

    /// The way its connections take. Shows no credentials.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Its connections by data-centre, sorted by the data-centre's number.
    #[must_use]
    pub fn connections(&self) -> Vec<Connections> {
        let datacentres: Vec<_> = self.datacentres.lock().values().map(Arc::clone).collect();
        let mut connections: Vec<_> = datacentres.iter().map(|datacentre| datacentre.connections()).collect();
        connections.sort_by_key(|connections| connections.dc);
        connections
    }

    /// True when Telegram said that the account is a premium one.
    #[must_use]
    pub fn is_premium(&self) -> bool {
        self.store.is_premium()
    }

    /// Waits for the home connection, asks who the account is, and lets a user account's chats be learned. Call again after a failure.
    ///
    /// # Errors
    /// [`CallFault`] of the first call that failed.
    pub async fn bring_up(&self) -> Result<(), CallFault> {
        let request = functions::users::GetUsers { id: vec![enums::InputUser::UserSelf] };
        let users = self.invoke(self.store.home_dc(), &request).await?;
        let Some(enums::User::User(user)) = users.into_iter().next() else {
            return Err(CallFault::unexpected("answer to who the account is"));
        };
        if let Err(error) = self.store.set_identity(user.id, user.bot, user.premium).await {
            tracing::warn!(account = %self.name, %error, "can't keep the account's identity");
        }
        if !user.bot {
            self.sweep_dialogs().await?;
        }
        Ok(())
    }

    /// Fetches bytes `offset..offset + limit` of a document; fewer only at its end.
    ///
    /// Waits its turn first: see [`ClientConfig::connections`]. Both must be multiples of 1 KiB, `limit` at most [`MAX_CHUNK`], and the range must not cross a multiple of 1 MiB.
    ///
    /// # Errors
    /// [`CallFault`]. [`CallFault::Migrate`] and [`CallFault::ReferenceExpired`] ask for another location, the rest for another try.
    pub async fn get_chunk(&self, location: &Location, offset: u64, limit: u32) -> Result<Bytes, CallFault> {
        let invalid = || CallFault::Other("a chunk outside the rules".to_owned());
        let aligned = offset.is_multiple_of(1024) && limit.is_multiple_of(1024);
        if !aligned || limit == 0 || limit > MAX_CHUNK || (offset % 0x10_0000) + u64::from(limit) > 0x10_0000 {
            return Err(invalid());
        }
        let request = functions::upload::GetFile {
            // Asking for precision where it isn't needed costs nothing, but the plain form is the one that all servers know.
            precise: !offset.is_multiple_of(4096) || !limit.is_multiple_of(4096) || !limit.is_power_of_two(),
            cdn_supported: false,
            location: types::InputDocumentFileLocation {
                id: location.document_id,
                access_hash: location.access_hash,
                file_reference: location.file_reference.clone(),
                thumb_size: String::new(),
            }
            .into(),
            offset: i64::try_from(offset).map_err(|_| invalid())?,
            limit: i32::try_from(limit).map_err(|_| invalid())?,
        };
        let dc = location.dc;
        let imports = self.authorize(dc).await?;
        let answer = match self.call_in_turn(dc, &request).await {
            Err(CallFault::Banned(reason)) if dc != self.store.home_dc() => {
                tracing::info!(account = %self.name, dc, %reason, "the data-centre forgot the authorization");
                self.forget_authorization(dc, imports).await;
                self.authorize(dc).await?;
                match self.call_in_turn(dc, &request).await {
                    Err(CallFault::Banned(_)) => {
                        self.refuse(dc).await;
                        Err(CallFault::Unauthorized)
                    }
                    other => other,
                }
            }
            other => other,
        };
        file_bytes(answer?, limit)
    }

    /// Closes the store so that everything learned is in its file. Calls under way go on, but learn nothing more.
    ///
    /// # Errors
    /// [`StoreError`] when the journal can't be folded in; it is folded in at the next start.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }

    /// Calls a method in a data-centre, with the deadline of the configuration.
    pub(crate) async fn invoke<R: RemoteCall + Sync>(&self, dc: i32, request: &R) -> Result<R::Return, CallFault> {
        let body = self.call(dc, request).await?;
        R::Return::from_bytes(&body).map_err(|error| classify(InvocationError::from(error)))
    }

    async fn call<R: RemoteCall + Sync>(&self, dc: i32, request: &R) -> Result<Vec<u8>, CallFault> {
        self.obey_rest()?;
        self.call_now(dc, request, None).await
    }

    /// As [`Account::call`], for calls with large answers: no more of them under way than come back soon.
    async fn call_in_turn<R: RemoteCall + Sync>(&self, dc: i32, request: &R) -> Result<Vec<u8>, CallFault> {
        self.obey_rest()?;
        let slot = self.datacentre(dc).slot().await?;
        // Another call may have been told to wait meanwhile.
        self.obey_rest()?;
        self.call_now(dc, request, Some(slot)).await
    }

    async fn call_now<R: RemoteCall + Sync>(
        &self,
        dc: i32,
        request: &R,
        slot: Option<Slot>,
    ) -> Result<Vec<u8>, CallFault> {
        let started = Instant::now();
        let answer = self.datacentre(dc).call(request, self.config.call_timeout, slot).await;
        match &answer {
            Err(CallFault::Flood { seconds, premium_exempt }) => self.told_to_rest(*seconds, *premium_exempt),
            Err(CallFault::Banned(reason)) if dc == self.store.home_dc() => self.revoked.say(&self.name, reason),
            _ => {}
        }
        tracing::debug!(
            account = %self.name,
            dc,
            method = grammers_tl_types::name_for_id(method_id(request)),
            micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            outcome = answer.as_ref().map_or_else(CallFault::kind, |_| "ok"),
            "call"
        );
        answer
    }

    /// Refuses a call while the account was told to wait: calling nevertheless makes Telegram's waits longer.
    fn obey_rest(&self) -> Result<(), CallFault> {
        let Some(rest) = *self.rest.lock() else { return Ok(()) };
        let left = rest.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        Err(CallFault::Flood { seconds, premium_exempt: rest.premium_exempt })
    }

    fn told_to_rest(&self, seconds: u32, premium_exempt: bool) {
        let until = Instant::now() + Duration::from_secs(u64::from(seconds));
        let mut rest = self.rest.lock();
        if rest.is_none_or(|known| known.until < until) {
            *rest = Some(Rest { until, premium_exempt });
        }
    }

    /// For work that outlives the call that began it.
    pub(crate) fn owned(&self) -> Result<Arc<Self>, CallFault> {
        self.me.upgrade().ok_or_else(|| CallFault::Dropped("the account is closed".to_owned()))
    }

    pub(crate) fn datacentre(&self, dc: i32) -> Arc<Datacentre> {
        let mut datacentres = self.datacentres.lock();
        Arc::clone(datacentres.entry(dc).or_insert_with(|| {
            let (changed, observe) = watch::channel(0);
            let owner = LinkOwner {
                account: self.name.clone(),
                dc,
                api_id: self.config.api_id.unwrap_or_else(|| self.store.info().api_id),
                store: Arc::clone(&self.store),
                config: Arc::clone(&self.config),
                key_lock: Arc::default(),
                revoked: Arc::clone(&self.revoked),
                route: self.route.clone(),
                changed: Arc::new(changed),
                crowded: Arc::new(watch::Sender::new(Instant::now())),
                tally: Arc::default(),
            };
            Arc::new(Datacentre::start(&owner, observe))
        }))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every serialized call begins with its method's id.
fn method_id<R: RemoteCall>(request: &R) -> u32 {
    struct First([u8; 4], usize);
    impl Extend<u8> for First {
        fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
            for byte in bytes {
                let Some(place) = self.0.get_mut(self.1) else { break };
                *place = byte;
                self.1 += 1;
            }
        }
    }
    let mut first = First([0; 4], 0);
    request.serialize(&mut first);
    u32::from_le_bytes(first.0)
}

/// The bytes of an `upload.file` answer, without copying them: constructor, type and time are 12 bytes, then a TL string.
fn file_bytes(answer: Vec<u8>, limit: u32) -> Result<Bytes, CallFault> {
    let unexpected = || CallFault::unexpected("answer to a chunk");
    let constructor = answer.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(unexpected)?;
    if constructor != types::upload::File::CONSTRUCTOR_ID {
        return Err(unexpected());
    }
    let (start, length) = match answer.get(12..16).ok_or_else(unexpected)? {
        [254, low, middle, high] => (16, usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16),
        [255, ..] => return Err(unexpected()),
        [short, ..] => (13, usize::from(*short)),
        [] => return Err(unexpected()),
    };
    let end = start + length;
    if end > answer.len() || length > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(unexpected());
    }
    Ok(Bytes::from(answer).slice(start..end))
}

#[cfg(test)]
mod tests {
    use super::file_bytes;
    use grammers_tl_types::{Serializable, enums, types};

    #[test]
    fn chunk_answers_are_read_in_place() {
        for length in [0_usize, 1, 3, 253, 254, 255, 1024, 524_288] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let file =
                types::upload::File { r#type: enums::storage::FileType::FilePartial, mtime: 9, bytes: bytes.clone() };
            let answer = enums::upload::File::File(file).to_bytes();
            assert_eq!(file_bytes(answer.clone(), 524_288).unwrap(), bytes);
            if length > 0 {
                assert!(file_bytes(answer.clone(), u32::try_from(length).unwrap() - 1).is_err(), "more than asked for");
            }
            for cut in [0, 3, 4, 12, 13] {
                assert!(file_bytes(answer[..cut].to_vec(), 524_288).is_err());
            }
        }
    }
}
