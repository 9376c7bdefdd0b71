//! Runs a keeper: commands in, beats out, and what the hive may do in atomics that every call reads.

use crate::clock::{self, Millis, millis};
use crate::keeper::{Keeper, Outcome};
use crate::leases::{End, Held, LeaseError, LeaseOptions, Permit, Shared, WhenAway, name_of};
use crate::protocol::{Answer, Load, StoreFailure};
use crate::store::Store;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A flood wait is told again when it ends this much later than was told.
const SAME_REST: Millis = 500;

/// What the face asks of the task.
pub(crate) enum Command {
    Take { account: i64, answer: oneshot::Sender<Result<Held, LeaseError>> },
    Release { account: i64, fence: u64, done: Option<oneshot::Sender<()>> },
    Tell { account: i64, load: Load },
    Meet { done: oneshot::Sender<()> },
    Leave { done: oneshot::Sender<()> },
}

pub(crate) struct Task {
    store: Store,
    keeper: Keeper,
    hive: String,
    shared: Arc<Shared>,
    commands: mpsc::WeakUnboundedSender<Command>,
    held: HashMap<i64, Arc<End>>,
    wanted: BTreeMap<i64, oneshot::Sender<Result<Held, LeaseError>>>,
    /// Who waits for the store to hear what is said next.
    waiting: Vec<oneshot::Sender<()>>,
    rests: HashMap<i64, Millis>,
    left: bool,
    /// What the log said last of the store.
    trouble: Option<StoreFailure>,
}

impl Task {
    pub(crate) fn new(
        store: Store,
        run: String,
        options: &LeaseOptions,
        shared: Arc<Shared>,
        commands: mpsc::WeakUnboundedSender<Command>,
    ) -> Self {
        let keep = options.when_away == WhenAway::Keep;
        Self {
            store,
            keeper: Keeper::new(run, millis(options.ttl), keep),
            hive: options.hive.clone(),
            shared,
            commands,
            held: HashMap::new(),
            wanted: BTreeMap::new(),
            waiting: Vec::new(),
            rests: HashMap::new(),
            left: false,
            trouble: None,
        }
    }

    /// Ends when nobody can command it any more.
    pub(crate) async fn run(mut self, mut heard: mpsc::UnboundedReceiver<Command>) {
        while !self.left {
            let mut urgent = false;
            let pause = Duration::from_millis(self.keeper.next().saturating_sub(clock::now()));
            tokio::select! {
                command = heard.recv() => match command {
                    Some(command) => urgent |= self.obey(command),
                    None => urgent |= self.leave(),
                },
                () = tokio::time::sleep(pause) => urgent = true,
            }
            while let Ok(command) = heard.try_recv() {
                urgent |= self.obey(command);
            }
            if urgent {
                self.beat().await;
            }
        }
        // Who left says nothing more, or it would be counted again.
        while let Some(command) = heard.recv().await {
            self.obey(command);
        }
    }

    /// True when the store is to hear of it at once.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Take { answer, .. } if self.left => {
                let _ = answer.send(Err(LeaseError::Leaving));
            }
            Command::Take { account, answer } => {
                if self.held.contains_key(&account) || self.wanted.contains_key(&account) {
                    let left = Duration::ZERO;
                    let _ = answer.send(Err(LeaseError::Busy { hive: self.hive.clone(), left }));
                    return false;
                }
                self.wanted.insert(account, answer);
                return true;
            }
            Command::Release { account, fence, done } => {
                let held = self.keeper.release(account, fence);
                if held {
                    self.held.remove(&account);
                }
                // Otherwise it is gone already, or there is nobody to tell: whoever waits sees `done` dropped.
                self.waiting.extend(done.filter(|_| held && !self.left));
                return held;
            }
            Command::Tell { account, load } => {
                let until = clock::now() + millis(load.rests_for);
                let known = self.rests.get(&account).copied().unwrap_or(0);
                self.keeper.tell(account, load);
                if !load.rests_for.is_zero() && until > known + SAME_REST {
                    self.rests.insert(account, until);
                    return true;
                }
            }
            Command::Meet { done } => {
                self.waiting.extend(Some(done).filter(|_| !self.left));
                return true;
            }
            Command::Leave { done } => {
                if !self.left {
                    self.waiting.push(done);
                    return self.leave();
                }
            }
        }
        false
    }

    /// True: the store is to hear of it.
    fn leave(&mut self) -> bool {
        for account in self.keeper.leave() {
            self.end(account);
        }
        for answer in std::mem::take(&mut self.wanted).into_values() {
            let _ = answer.send(Err(LeaseError::Leaving));
        }
        true
    }

    fn end(&mut self, account: i64) {
        self.rests.remove(&account);
        if let Some(end) = self.held.remove(&account) {
            end.declare();
        }
    }

    async fn beat(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let wanted = self.wanted.keys().copied().collect();
        let sent = clock::now();
        let beat = self.keeper.beat(sent, wanted);
        let answer = self.store.beat(&beat, Duration::from_millis(self.keeper.patience())).await;
        let now = clock::now();
        let outcome = match &answer {
            Ok(reply) => self.keeper.answered(sent, now, &beat, reply),
            Err(failure) => self.keeper.failed(sent, now, failure),
        };
        // What was lost ends before anything is said to be valid longer.
        for account in &outcome.lost {
            tracing::warn!(
                lease = account,
                "another hive has an account of this one's, or may have: it is left at once"
            );
            self.end(*account);
        }
        self.shared.valid_until.store(self.keeper.valid_until(), Ordering::SeqCst);
        match answer {
            Ok(reply) => {
                self.say(None);
                self.left = beat.leave;
                let mut view = self.shared.view.lock();
                (view.hives, view.table, view.away) = (reply.hives, reply.table, false);
                drop(view);
                self.grant(outcome);
            }
            Err(failure) => {
                // Nobody waits for a store that is away: what is held runs out by itself.
                self.left = beat.leave;
                self.shared.view.lock().away = true;
                let error = match &failure {
                    StoreFailure::Away(text) => LeaseError::Away(text.clone()),
                    StoreFailure::Refused(text) => LeaseError::Refused(text.clone()),
                };
                for answer in std::mem::take(&mut self.wanted).into_values() {
                    let _ = answer.send(Err(error.clone()));
                }
                self.say(Some(failure));
            }
        }
        for done in waiting {
            let _ = done.send(());
        }
    }

    fn grant(&mut self, outcome: Outcome) {
        for (account, answer) in outcome.answers {
            let Some(asker) = self.wanted.remove(&account) else { continue };
            let answer = match answer {
                Answer::Granted { fence, rests_for } => {
                    let end = Arc::new(End::default());
                    self.held.insert(account, Arc::clone(&end));
                    let permit = Permit::new(Arc::clone(&self.shared), end);
                    let rests_for = Duration::from_millis(rests_for);
                    // Whoever asked and did not wait drops it, which lets it go.
                    Ok(Held::new(account, fence, rests_for, permit, self.commands.clone()))
                }
                Answer::Busy { holder, left } => Err(LeaseError::Busy {
                    hive: name_of(&holder).unwrap_or_default().to_owned(),
                    left: Duration::from_millis(left),
                }),
                Answer::NotYet { left } => Err(LeaseError::NotYet { left: Duration::from_millis(left) }),
            };
            let _ = asker.send(answer);
        }
    }

    /// Says once that the store is away, and once that it is back.
    fn say(&mut self, trouble: Option<StoreFailure>) {
        if trouble == self.trouble {
            return;
        }
        match &trouble {
            Some(StoreFailure::Away(reason)) => {
                tracing::warn!(
                    reason,
                    held = self.held.len(),
                    "the store of leases is away: nothing is taken until it is back"
                );
            }
            Some(StoreFailure::Refused(reason)) => {
                tracing::error!(
                    reason,
                    held = self.held.len(),
                    "the store of leases refuses this hive, which lets its accounts go"
                );
            }
            None => tracing::info!(held = self.held.len(), "the store of leases is back"),
        }
        self.trouble = trouble;
    }
}
