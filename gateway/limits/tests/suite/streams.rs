//! How streams are counted.

use crate::support::take;
use crate::support::{NO_BOUNDS, admit, from, stream};
use limits::{Bounds, Full, Limiter};
use std::{thread, time::Duration};

const START: Duration = Duration::ZERO;

fn viewer_streams(most: u32) -> Bounds {
    Bounds { viewer_streams: Some(most), ..NO_BOUNDS }
}

fn tenant_streams(most: u32) -> Bounds {
    Bounds { tenant_streams: Some(most), ..NO_BOUNDS }
}

#[test]
fn a_stream_counts_once_however_many_requests_fetch_it() {
    let limiter = Limiter::new();
    let one = viewer_streams(1);
    let requests: Vec<_> = (0..8).map(|_| admit(&limiter, "alice", stream(1), one, START)).collect();
    assert_eq!(limiter.stats(START).streams, 1);
    for other in [stream(2), from(2, 1)] {
        assert_eq!(limiter.admit("films", "alice", other, &one, START).err(), Some(Full::Viewer));
    }
    // Somebody else's, and the same name with another tenant.
    let _bob = admit(&limiter, "bob", stream(2), one, START);
    let _namesake = limiter.admit("books", "alice", stream(2), &one, START).unwrap();
    let mut requests = requests.into_iter();
    let last = requests.next_back();
    drop(requests);
    assert_eq!(limiter.admit("films", "alice", stream(2), &one, START).err(), Some(Full::Viewer));
    drop(last);
    let _next = admit(&limiter, "alice", stream(2), one, START);
    let stats = limiter.stats(START);
    assert_eq!((stats.streams, stats.refused_viewer, stats.refused_tenant), (3, 3, 0));
}

#[test]
fn a_tenants_streams_are_all_its_viewers() {
    let limiter = Limiter::new();
    let two = tenant_streams(2);
    let alice = admit(&limiter, "alice", stream(1), two, START);
    let _bob = admit(&limiter, "bob", stream(1), two, START);
    let _again = admit(&limiter, "bob", stream(1), two, START);
    assert_eq!(limiter.admit("films", "carol", stream(1), &two, START).err(), Some(Full::Tenant));
    assert_eq!(limiter.admit("films", "bob", stream(2), &two, START).err(), Some(Full::Tenant));
    let _other = limiter.admit("books", "carol", stream(1), &two, START).unwrap();
    drop(alice);
    let _carol = admit(&limiter, "carol", stream(1), two, START);
    let stats = limiter.stats(START);
    assert_eq!((stats.streams, stats.refused_viewer, stats.refused_tenant), (3, 0, 2));
}

#[test]
fn a_refusal_counts_nothing() {
    let limiter = Limiter::new();
    let bounds = Bounds { viewer_streams: Some(2), tenant_streams: Some(1), ..NO_BOUNDS };
    let held = admit(&limiter, "alice", stream(1), bounds, START);
    for viewer in ["alice", "bob"] {
        for _ in 0..3 {
            assert_eq!(limiter.admit("films", viewer, stream(2), &bounds, START).err(), Some(Full::Tenant));
        }
    }
    assert_eq!((limiter.stats(START).streams, limiter.stats(START).viewers), (1, 1));
    drop(held);
    let _alice = admit(&limiter, "alice", stream(2), bounds, START);
}

#[test]
fn bounds_are_the_requests_own() {
    let limiter = Limiter::new();
    let _one = admit(&limiter, "alice", stream(1), viewer_streams(3), START);
    let _two = admit(&limiter, "alice", stream(2), viewer_streams(3), START);
    // Tighter by now: what goes on goes on, and may open further requests; nothing new opens.
    assert_eq!(limiter.admit("films", "alice", stream(3), &viewer_streams(1), START).err(), Some(Full::Viewer));
    let _more = admit(&limiter, "alice", stream(2), viewer_streams(1), START);
    let _three = admit(&limiter, "alice", stream(3), viewer_streams(3), START);
    assert_eq!(limiter.admit("films", "alice", stream(4), &viewer_streams(0), START).err(), Some(Full::Viewer));
    assert_eq!(limiter.admit("films", "dave", stream(1), &tenant_streams(0), START).err(), Some(Full::Tenant));
}

#[test]
fn without_bounds_nobody_is_counted() {
    let limiter = Limiter::new();
    let permits: Vec<_> = (0..9).map(|id| admit(&limiter, "alice", stream(id), NO_BOUNDS, START)).collect();
    assert_eq!(limiter.stats(START), Limiter::new().stats(START));
    assert!(permits.iter().all(|permit| permit.piece().is_none() && take(permit, u64::MAX, START).is_zero()));
    let _counted = admit(&limiter, "alice", stream(99), viewer_streams(1), START);
}

#[test]
fn names_may_be_of_any_length_and_never_run_together() {
    let limiter = Limiter::new();
    let long = "x".repeat(1 << 20);
    let names =
        [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("a", "bc\0"), ("a\0bc", ""), ("a", &long), (&long, "a")];
    let permits: Vec<_> = names
        .iter()
        .map(|(tenant, viewer)| limiter.admit(tenant, viewer, stream(1), &viewer_streams(1), START))
        .collect();
    assert!(permits.iter().all(Result::is_ok));
    assert_eq!(limiter.stats(START).viewers, 8);
}

#[test]
fn who_leaves_is_forgotten() {
    let limiter = Limiter::new();
    let bounds = Bounds { viewer_streams: Some(1), tenant_streams: Some(100_000), ..NO_BOUNDS };
    let viewers: Vec<String> = (0..10_000).map(|id| id.to_string()).collect();
    let permits: Vec<_> = viewers.iter().map(|viewer| admit(&limiter, viewer, stream(1), bounds, START)).collect();
    assert_eq!((limiter.stats(START).viewers, limiter.stats(START).streams), (10_000, 10_000));
    drop(permits);
    let stats = limiter.stats(START);
    assert_eq!((stats.viewers, stats.tenants, stats.streams), (0, 0, 0));
}

/// Millions of names that come once each: what is kept has an end.
#[test]
fn strangers_that_owe_are_bounded() {
    let limiter = Limiter::new();
    let slow = Bounds { viewer_rate: Some(1024), ..NO_BOUNDS };
    for id in 0..200_000_u32 {
        let permit = admit(&limiter, &id.to_string(), stream(1), slow, START);
        assert!(take(&permit, 65_536, START).is_zero());
    }
    let kept = limiter.stats(START).viewers;
    assert!((60_000..=65_536 + 32).contains(&kept), "{kept}");
    // Their buckets are full after 64 s, and any admission clears some of them.
    let later = Duration::from_secs(64);
    assert_eq!(limiter.stats(later - Duration::from_nanos(1)).viewers, kept);
    for id in 0..kept {
        drop(admit(&limiter, &format!("late {id}"), stream(1), slow, later));
    }
    let table = limiter.stats(Duration::ZERO).viewers;
    assert!(table < kept / 10, "{table}");
    assert_eq!(limiter.stats(later).viewers, 0);
}

#[test]
fn tenants_come_and_go() {
    let limiter = Limiter::new();
    let bounds = Bounds { tenant_rate: Some(1 << 20), ..NO_BOUNDS };
    for id in 0..10_000_u64 {
        let now = Duration::from_secs(id);
        let permit = limiter.admit(&id.to_string(), "alice", stream(1), &bounds, now).unwrap();
        assert!(take(&permit, 1 << 20, now).is_zero());
    }
    let stats = limiter.stats(Duration::from_secs(10_000));
    assert_eq!((stats.viewers, stats.tenants), (0, 0));
}

/// However threads interleave, no more than the bound are in at once, and nobody stays behind.
#[test]
fn threads() {
    let limiter = Limiter::new();
    let bounds =
        Bounds { viewer_streams: Some(3), tenant_streams: Some(5), viewer_rate: Some(1 << 40), tenant_rate: None };
    thread::scope(|scope| {
        for worker in 0..4_u32 {
            let limiter = &limiter;
            scope.spawn(move || {
                for round in 0..2000_u32 {
                    let viewer = if (worker + round).is_multiple_of(2) { "alice" } else { "bob" };
                    let id = i32::try_from(round % 5).unwrap();
                    let permit = limiter.admit("films", viewer, stream(id), &bounds, START);
                    assert!(limiter.stats(START).streams <= 5);
                    drop(permit);
                }
            });
        }
    });
    let stats = limiter.stats(START);
    assert_eq!((stats.streams, stats.viewers, stats.tenants), (0, 0, 0));
}
