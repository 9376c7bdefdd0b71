//! Carries an account's authorization from its home to other data-centres: once per key, as Telegram limits both halves of it.

use crate::account::Account;
use crate::datacentre::{Closed, Datacentre, Gate};
use crate::fault::CallFault;
use grammers_tl_types::enums;
use grammers_tl_types::functions::auth::{ExportAuthorization, ImportAuthorization};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

/// Answers are not asked for again within this time after the data-centre took an authorization and still refused a call.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// Pause after an authorization could not be carried over.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// How often an import is sent before its answer is given up.
const IMPORT_TRIES: usize = 3;
/// Answers that speak of the key, and not of who is signed in with it.
const KEY_REFUSED: &[&str] = &["AUTH_KEY_DUPLICATED", "AUTH_KEY_INVALID"];
/// Telegram's answer to an authorization that was taken already, or has grown old.
const TAKEN: &str = "AUTH_BYTES_INVALID";

impl Account {
    /// Makes sure that the account may call in a foreign data-centre: once, ever, as long as its key lives. Returns how many
    /// authorizations were carried there, for [`Account::forget_authorization`].
    pub(crate) async fn authorize(&self, dc: i32) -> Result<u64, CallFault> {
        if dc == self.store.home_dc() {
            return Ok(0);
        }
        let datacentre = self.datacentre(dc);
        if self.store.is_authorized(dc) {
            return Ok(datacentre.imports.load(Ordering::Acquire));
        }
        let deadline = Instant::now() + self.config.call_timeout;
        let gate = timeout_at(deadline, Arc::clone(&datacentre.gate).lock_owned());
        let gate = gate.await.map_err(|_| CallFault::Timeout)?;
        if self.store.is_authorized(dc) {
            return Ok(datacentre.imports.load(Ordering::Acquire));
        }
        if let Some(Closed { since, until, fault }) = &gate.closed
            && Instant::now() < *until
        {
            return Err(fault.since(*since));
        }
        // On its own: were it to end with a viewer who leaves, each viewer who leaves would cost an export.
        let carrying = tokio::spawn(carry(self.owned()?, datacentre, dc, gate).in_current_span());
        match timeout_at(deadline, carrying).await {
            Ok(Ok(carried)) => carried,
            Ok(Err(_)) => Err(CallFault::Dropped("the task that carries the authorization ended".to_owned())),
            Err(_) => Err(CallFault::Timeout),
        }
    }

    /// Takes note that a call was refused for this reason which began after `imports` imports.
    pub(crate) async fn forget_authorization(&self, dc: i32, imports: u64, reason: &str) {
        let datacentre = self.datacentre(dc);
        let mut gate = datacentre.gate.lock().await;
        if datacentre.imports.load(Ordering::Acquire) == imports {
            self.forget(&datacentre, dc, &mut gate, reason).await;
        }
    }

    /// Leaves the data-centre alone for a while, as it refused a call for this reason once more.
    pub(crate) async fn refuse(&self, dc: i32, reason: &str) {
        let datacentre = self.datacentre(dc);
        let mut gate = datacentre.gate.lock().await;
        gate.closed = Some(Closed::during(REFUSED_PAUSE, CallFault::Unauthorized));
        self.forget(&datacentre, dc, &mut gate, reason).await;
    }

    /// Of many that are refused at once, one forgets.
    async fn forget(&self, datacentre: &Datacentre, dc: i32, gate: &mut Gate, reason: &str) {
        if self.store.is_authorized(dc) {
            self.set_authorized(dc, false).await;
            self.forget_key(datacentre, gate, reason).await;
        }
    }

    /// Forgets a key abroad, if that is what was refused: it is worth nothing, and the account is none the worse for it.
    async fn forget_key(&self, datacentre: &Datacentre, gate: &mut Gate, reason: &str) {
        if !KEY_REFUSED.contains(&reason) {
            return;
        }
        // What was on its way was for the key that is gone.
        (gate.key_refused, gate.unsettled) = (true, None);
        if let Err(error) = datacentre.forget_key().await {
            tracing::warn!(account = %self.name(), %error, "can't forget a key that was refused");
        }
    }

    async fn set_authorized(&self, dc: i32, authorized: bool) {
        if let Err(error) = self.store.set_authorized(dc, authorized).await {
            tracing::warn!(account = %self.name(), dc, authorized, %error, "can't keep whether the account is authorized");
        }
    }

    async fn export_and_import(&self, dc: i32, gate: &mut Gate) -> Result<(), CallFault> {
        let (import, mut sent) = match gate.unsettled.take() {
            Some(unsettled) => (unsettled, true),
            None => {
                let export = ExportAuthorization { dc_id: dc };
                let enums::auth::ExportedAuthorization::Authorization(exported) =
                    self.invoke(self.store.home_dc(), &export).await?;
                (ImportAuthorization { id: exported.id, bytes: exported.bytes }, false)
            }
        };
        let mut tries = 1;
        loop {
            match self.invoke(dc, &import).await {
                Ok(_) => return Ok(()),
                // Taken the first time, most likely; if not, the next call is refused, and the authorization is carried anew.
                Err(CallFault::Other(name)) if sent && name == TAKEN => return Ok(()),
                Err(CallFault::Dropped(_) | CallFault::Timeout) if tries < IMPORT_TRIES => tries += 1,
                // Its home alone says that the account is lost.
                Err(CallFault::Banned(reason)) => {
                    tracing::warn!(account = %self.name(), dc, %reason, "the data-centre refuses the authorization");
                    self.forget_key(&self.datacentre(dc), gate, &reason).await;
                    return Err(CallFault::Unauthorized);
                }
                Err(fault) => {
                    if matches!(
                        fault,
                        CallFault::Dropped(_)
                            | CallFault::Timeout
                            | CallFault::Flood { .. }
                            | CallFault::Resting { .. }
                    ) {
                        gate.unsettled = Some(import);
                    }
                    return Err(fault);
                }
            }
            sent = true;
        }
    }
}

async fn carry(
    account: Arc<Account>,
    datacentre: Arc<Datacentre>,
    dc: i32,
    mut gate: OwnedMutexGuard<Gate>,
) -> Result<u64, CallFault> {
    // Before the export, so that a data-centre that can't be reached costs no export.
    datacentre.ready(Instant::now() + account.config.call_timeout).await?;
    let was_refused = gate.key_refused;
    match account.export_and_import(dc, &mut gate).await {
        Ok(()) => {
            (gate.closed, gate.key_refused) = (None, false);
            let imports = datacentre.imports.fetch_add(1, Ordering::AcqRel) + 1;
            account.set_authorized(dc, true).await;
            Ok(imports)
        }
        Err(fault) => {
            // With another key it may be taken, but that is tried once.
            let other_key = gate.key_refused && !was_refused;
            let pause = if fault == CallFault::Unauthorized && !other_key { REFUSED_PAUSE } else { FAILED_PAUSE };
            gate.closed = Some(Closed::during(pause, fault.clone()));
            Err(fault)
        }
    }
}
