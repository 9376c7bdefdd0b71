//! Which clients use which keys, and whether two do at once: for that Telegram revokes a key.
//!
//! A client is who says so: the device model of `initConnection`. A connection uses its key from its first packet to its last one. Two
//! overlap when one is used after another client's began and that one after the first began: a connection that is merely open doesn't.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

/// Connections remembered for each key; more than a client has open.
const CONNECTIONS: usize = 256;

/// A key that two clients used at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SharedKey {
    /// The account's name; empty before signing in.
    pub account: String,
    /// The data-centre that knows the key.
    pub dc: i32,
    /// What both call themselves, sorted.
    pub clients: (String, String),
    /// Packets that came while the other one was using it too.
    pub packets: u64,
}

#[derive(Debug)]
struct Stretch {
    connection: u64,
    client: Option<String>,
    first: Instant,
    last: Instant,
}

type Both = (String, i32, (String, String));

/// The keys of a running simulation.
#[derive(Default)]
pub(crate) struct Usage {
    keys: Mutex<HashMap<i64, Vec<Stretch>>>,
    shared: Mutex<BTreeMap<Both, u64>>,
}

impl Usage {
    /// A packet came on a connection. `client` is what the connection says of itself in it.
    pub(crate) fn used(
        &self,
        key: i64,
        connection: u64,
        client: Option<&str>,
        now: Instant,
        whose: impl FnOnce() -> (String, i32),
    ) {
        let mut keys = self.keys.lock();
        let stretches = keys.entry(key).or_default();
        let at = stretches.iter().position(|stretch| stretch.connection == connection).unwrap_or_else(|| {
            if stretches.len() == CONNECTIONS {
                stretches.remove(0);
            }
            stretches.push(Stretch { connection, client: None, first: now, last: now });
            stretches.len() - 1
        });
        let mine = &mut stretches[at];
        mine.last = now;
        if let Some(client) = client {
            mine.client = Some(client.to_owned());
        }
        let Some(me) = mine.client.clone() else { return };
        let first = mine.first;
        let other = stretches
            .iter()
            .filter(|other| other.last > first)
            .find_map(|other| other.client.clone().filter(|client| *client != me));
        drop(keys);
        if let Some(other) = other {
            let (account, dc) = whose();
            let clients = if me < other { (me, other) } else { (other, me) };
            *self.shared.lock().entry((account, dc, clients)).or_default() += 1;
        }
    }

    pub(crate) fn shared(&self) -> Vec<SharedKey> {
        let one = |((account, dc, clients), packets): (&Both, &u64)| SharedKey {
            account: account.clone(),
            dc: *dc,
            clients: clients.clone(),
            packets: *packets,
        };
        self.shared.lock().iter().map(one).collect()
    }

    pub(crate) fn reset(&self) {
        self.shared.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Usage;

    #[test]
    fn one_after_the_other_is_fine_and_both_at_once_is_told() {
        let (usage, start) = (Usage::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        let use_at = |connection, client, second| {
            usage.used(7, connection, client, at(second), || ("ann".to_owned(), 2));
        };
        use_at(1, Some("hive-a"), 1);
        use_at(1, None, 2);
        use_at(2, Some("hive-b"), 3);
        use_at(2, None, 4);
        // Another connection of the first one, after the second one was last heard of.
        use_at(3, Some("hive-a"), 5);
        assert!(usage.shared().is_empty());
        // An old connection wakes up.
        use_at(2, None, 6);
        let shared = usage.shared();
        assert_eq!((shared.len(), shared[0].packets, shared[0].account.as_str()), (1, 1, "ann"));
        assert_eq!(shared[0].clients, ("hive-a".to_owned(), "hive-b".to_owned()));
        use_at(3, None, 7);
        assert_eq!(usage.shared()[0].packets, 2);
        usage.reset();
        assert!(usage.shared().is_empty());
    }
}
