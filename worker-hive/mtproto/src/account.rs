//! One account: its data-centres, its authorization in them, and the chunks it fetches.

use crate::ask::Ask;
use crate::calls::Calls;
use crate::clock::ServerClock;
use crate::config::ClientConfig;
use crate::datacentre::{Datacentre, DatacentreReport};
use crate::fault::{CallFault, classify};
use crate::folder::SessionFolder;
use crate::link::LinkOwner;
use crate::locate::Sweep;
use crate::media::Location;
use crate::permission::Permission;
use crate::raw::{file_bytes, method_id};
use crate::rest::Rest;
use crate::revoked::Revoked;
use crate::route::Route;
use crate::schema::StoreError;
use crate::setting::Setting;
use crate::slots::Slot;
use crate::store::{AccountInfo, AccountStore};
use crate::tally::Connections;
use bytes::Bytes;
use grammers_mtsender::InvocationError;
use grammers_tl_types::{Deserializable, RemoteCall, enums, functions, types};
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
    rest: Arc<Rest>,
    pub(crate) clock: Arc<ServerClock>,
    revoked: Arc<Revoked>,
    route: Route,
    permission: Permission,
    calls: Calls,
}

/// What an account has to do before it can fetch from a data-centre; the less the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Nothing: it is authorized there, and connected.
    Warm,
    /// Connect.
    Authorized,
    /// Carry its authorization there, which Telegram limits.
    Foreign,
}

impl Account {
    /// Opens the session of that name and starts connecting to its home data-centre. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError`] when the session file is missing, foreign or damaged.
    pub fn open(folder: &SessionFolder, account: &str, config: Arc<ClientConfig>) -> Result<Arc<Self>, StoreError> {
        Self::open_permitted(folder, account, config, Permission::always())
    }

    /// As [`Account::open`], for an account that others may use when this process may not.
    ///
    /// # Errors
    /// As [`Account::open`].
    pub fn open_permitted(
        folder: &SessionFolder,
        account: &str,
        config: Arc<ClientConfig>,
        permission: Permission,
    ) -> Result<Arc<Self>, StoreError> {
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
            rest: Arc::default(),
            clock: Arc::default(),
            revoked: Arc::default(),
            route,
            permission,
            calls: Calls::default(),
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

    /// Its data-centres as they stand, sorted by number.
    #[must_use]
    pub fn datacentres(&self) -> Vec<DatacentreReport> {
        let datacentres: Vec<_> = self.datacentres.lock().values().map(Arc::clone).collect();
        let mut reports: Vec<_> = datacentres.iter().map(|datacentre| datacentre.report()).collect();
        reports.sort_by_key(|report| report.connections.dc);
        reports
    }

    /// Calls made since it was opened, by what they were for: `file`, `message`, `dialogs`, `authorization` or `other`.
    #[must_use]
    pub fn calls(&self) -> Vec<(&'static str, u64)> {
        self.calls.snapshot()
    }

    /// What it takes to fetch from a data-centre.
    #[must_use]
    pub fn reach(&self, dc: i32) -> Reach {
        if dc != self.store.home_dc() && !self.store.is_authorized(dc) {
            return Reach::Foreign;
        }
        match self.warm_connections(dc) {
            0 => Reach::Authorized,
            _ => Reach::Warm,
        }
    }

    /// Connections to a data-centre that a call can go over at once.
    #[must_use]
    pub fn warm_connections(&self, dc: i32) -> usize {
        let datacentre = self.datacentres.lock().get(&dc).map(Arc::clone);
        datacentre.map_or(0, |datacentre| datacentre.warm_connections())
    }

    /// True for a bot, as far as the store knows.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        self.store.is_bot()
    }

    /// Where the account was signed in.
    #[must_use]
    pub fn home_dc(&self) -> i32 {
        self.store.home_dc()
    }

    /// What is left of the longest wait that Telegram told this account.
    #[must_use]
    pub fn rests_for(&self) -> Option<Duration> {
        self.rests_until().map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// The end of the longest wait that Telegram told this account, if it isn't over.
    #[must_use]
    pub fn rests_until(&self) -> Option<Instant> {
        self.rest.until(Instant::now())
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
        self.identify().await?;
        if !self.store.info().bot {
            self.sweep_dialogs().await?;
        }
        Ok(())
    }

    /// Asks who the account is: some origins of a session don't say, and whether it is premium changes.
    pub(crate) async fn identify(&self) -> Result<(), CallFault> {
        let request = functions::users::GetUsers { id: vec![enums::InputUser::UserSelf] };
        let users = self.invoke(self.store.home_dc(), &request).await?;
        let Some(enums::User::User(user)) = users.into_iter().next() else {
            return Err(CallFault::unexpected("answer to who the account is"));
        };
        if let Err(error) = self.store.set_identity(user.id, user.bot, user.premium).await {
            tracing::warn!(account = %self.name, %error, "can't keep the account's identity");
        }
        Ok(())
    }

    /// Fetches bytes `offset..offset + limit` of a document; fewer only at its end.
    ///
    /// Waits its turn first: see [`ClientConfig::connections`]. Both must be multiples of 1 KiB, `limit` at most [`MAX_CHUNK`], and the range must not cross a multiple of 1 MiB.
    ///
    /// # Errors
    /// [`CallFault`]. [`CallFault::Migrate`] and [`CallFault::ReferenceExpired`] ask for another location, the rest for another try.
    pub async fn get_chunk(&self, location: &Location, offset: u64, limit: u32, ask: &Ask) -> Result<Bytes, CallFault> {
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
        let answer = match self.call_in_turn(dc, &request, ask).await {
            Err(CallFault::Banned(reason)) if dc != self.store.home_dc() => {
                tracing::info!(account = %self.name, dc, %reason, "the data-centre forgot the authorization");
                self.forget_authorization(dc, imports, &reason).await;
                self.authorize(dc).await?;
                match self.call_in_turn(dc, &request, ask).await {
                    Err(CallFault::Banned(reason)) => {
                        self.refuse(dc, &reason).await;
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
    async fn call_in_turn<R: RemoteCall + Sync>(&self, dc: i32, request: &R, ask: &Ask) -> Result<Vec<u8>, CallFault> {
        self.obey_rest()?;
        let slot = self.datacentre(dc).slot(ask).await?;
        // Another call may have been told to wait meanwhile.
        self.obey_rest()?;
        self.call_now(dc, request, Some((slot, ask))).await
    }

    async fn call_now<R: RemoteCall + Sync>(
        &self,
        dc: i32,
        request: &R,
        turn: Option<(Slot, &Ask)>,
    ) -> Result<Vec<u8>, CallFault> {
        let started = Instant::now();
        let (method, datacentre) = (method_id(request), self.datacentre(dc));
        self.calls.count(method);
        let answer = datacentre.call(request, self.config.call_timeout, turn).await;
        if let Err(CallFault::Banned(reason)) = &answer
            && dc == self.store.home_dc()
        {
            self.revoked.say(&self.name, reason);
        }
        tracing::debug!(
            account = %self.name,
            dc,
            method = grammers_tl_types::name_for_id(method),
            micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            outcome = answer.as_ref().map_or_else(CallFault::kind, |_| "ok"),
            "call"
        );
        answer
    }

    /// Obeys a wait that Telegram told whoever used the account before.
    pub fn rest(&self, wait: Duration) {
        if !wait.is_zero() {
            self.rest.told(u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX), Instant::now());
        }
    }

    /// Ends its connections at once, for good, whoever still holds the account.
    pub fn cut(&self) {
        self.permission.withdraw();
    }

    fn obey_rest(&self) -> Result<(), CallFault> {
        self.rest.obey(&self.permission, Instant::now())
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
                rest: Arc::clone(&self.rest),
                clock: Arc::clone(&self.clock),
                key_epoch: Arc::new(watch::Sender::new(0)),
                route: self.route.clone(),
                changed: Arc::new(changed),
                crowded: Arc::new(watch::Sender::new(Instant::now())),
                tally: Arc::default(),
                permission: self.permission.clone(),
            };
            Arc::new(Datacentre::start(owner, observe))
        }))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}
