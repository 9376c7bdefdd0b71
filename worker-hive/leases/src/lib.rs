//! Which hive runs which account. Telegram revokes a key that is used from two places, so an account is leased to one hive at a time.
//!
//! What it does: takes, renews, loses and releases leases; tells all hives how each account fares, flood waits above all; keeps all
//! that in Redis, or in this process where there is none. What it refuses to do: know what an account is (an id is all it sees),
//! decide who should have which (`hive-server`'s roster does), make anybody stop: who holds a lease asks its [`Permit`] before each
//! call. Who calls it: `hive-server`. What stays true: see below; no address or password of Redis stands in an error or a log line.
//!
//! # How
//!
//! A hive speaks to the store in *beats*, each one atomic: renew what I hold, hear what I tell, forget what I let go, grant what I
//! want. `keeper` is a hive's side of it, pure; `ledger` is the store's, pure, and the store of a single process; `script.lua` is the
//! ledger once more, for Redis, and held to the same answers by a seeded test. A hive beats three times in a lease time (TTL), and
//! after a failure every twelfth of it.
//!
//! - A lease lives for a TTL from the beat that the store heard last. Its holder trusts it for five sixths of a TTL from before that
//!   beat *was sent*, by a clock that can't be set and that runs while the machine sleeps. So it stops trusting before anybody may take.
//! - Every grant has a *fence*, higher than all before. The highest fence of an account is the newest word, whatever a store that
//!   was restored from an old copy says. Who renews or releases names its run (a hive's name and a random part) and its fence: a hive
//!   that was started again is another one.
//! - When the store comes back after a gap, nobody takes anything for a whole TTL, and those who held accounts renew them as if nothing had
//!   been, unless their own leases had run out. A gap is: another run id (restarted, or another server in its place), nothing remembered, a clock that went back, or no beat
//!   of anybody for five twelfths of a TTL while another hive was there, or may have been. A holder who was cut off with everybody for less renews in time:
//!   its last beat was at most five twelfths before (else it doubts, and stops like a hive that was refused), and it tries again within a
//!   sixth.
//! - All hives have one TTL: one with another is refused while others live, that is for two TTLs after their last beats.
//! - A flood wait is kept with the account, for whoever holds it next, and is never cut short.
//!
//! # What is ruled out, and what is not
//!
//! - **A hive dies**: its accounts are free after a TTL, or at once if it could say so.
//! - **A hive is stopped** (SIGSTOP, a frozen container, a sleeping machine) for longer than its lease: each call looks at the clock
//!   first, so none is made before the store was asked. Not ruled out: a call whose check was done when the stop came, and what the
//!   kernel or the MTProto library sends by itself on resuming (acknowledgements of answers that had arrived, a keep-alive) before the
//!   connection is cut. A virtual machine that is stopped whole may not see time pass at all: then it calls until its next beat, a
//!   third of a TTL at most.
//! - **Redis dies, or no hive reaches it**: with [`WhenAway::Keep`] holders go on, and nobody can take anything. With
//!   [`WhenAway::Stop`] they stop after five sixths of a TTL.
//! - **Redis comes back empty, or with an old copy, or another one takes its place**: that is a gap, see above.
//! - **Redis is there, and one hive does not reach it** (a partial partition, other names or firewalls, or two Redis that both think they
//!   are the one): with [`WhenAway::Stop`] never two. With [`WhenAway::Keep`] that hive goes on, and the others take its accounts after a
//!   TTL: *two hives use one account* until it reaches Redis again. From inside, a hive can't tell this from an outage. If Redis answers at
//!   all, and be it by a refusal, it is no outage, and the hive stops. Operators choose; the runbook says by what.
//! - **Clocks**: a hive's own can't be set; it may run wrong by a sixth. Redis' may jump. Backwards it is a gap, and leases live longer by as
//!   much; forwards by more than five twelfths of a TTL it is a gap too. A shorter jump forwards ends leases earlier by as much, which harms nobody who
//!   can renew; together with a cut-off or an outage in the same TTL, two may hold for what the jump is longer than a sixth of a TTL. Let the
//!   clock of Redis be slewed, not stepped.
//! - **A lost answer**: what was granted and not heard of runs out, or is granted again to the same run. **A late question** does
//!   nothing, because its fence is an old one.
//!
//! # In Redis
//!
//! With the default prefix `sv`; the braces make them one hash slot. All three expire after 30 days without any hive; an account that
//! nobody asked for in a day is forgotten when its flood wait is over.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `sv:{leases}:accounts` | hash | lease id → `fence\|expires\|rest until\|streams\|bytes a second\|touched\|asked\|holder\|asker`, times in ms |
//! | `sv:{leases}:hives` | sorted set | run → its last beat; who has not been heard for two TTLs, counted from the end of a gap's pause, is dropped by the next beat |
//! | `sv:{leases}:meta` | hash | run id of the server, TTL, last beat, until when nobody takes anything, highest fence, last sweep |
//!
//! Redis 6.2 or a server that speaks like it, and scripts that may ask `INFO` for its run id.

mod clock;
mod keeper;
mod leases;
mod ledger;
mod protocol;
mod redis_store;
mod store;
mod task;
#[cfg(test)]
mod tests;

pub use leases::{Held, LeaseError, LeaseOptions, Leases, Permit, Seen, WhenAway};
pub use protocol::Load;
