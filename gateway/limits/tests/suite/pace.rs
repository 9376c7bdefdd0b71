//! How bytes are paced.

use crate::support::take;
use crate::support::{Bodies, NO_BOUNDS, admit, random, stream};
use limits::{Bounds, Limiter};
use rand::RngExt;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn viewer_rate(rate: u64) -> Bounds {
    Bounds { viewer_rate: Some(rate), ..NO_BOUNDS }
}

/// Within 1 % of the rate (5 % is wanted) over ten seconds after the burst, whoever shares it, by whatever number of streams.
#[test]
fn rates_are_kept() {
    let rates = [1024, 65_536, 1_000_000, 12_500_000, 1_250_000_000];
    for (rate, streams) in rates.into_iter().flat_map(|rate| [1_u64, 4, 16].map(|streams| (rate, streams))) {
        for tenant in [false, true] {
            let limiter = Limiter::new();
            let mut bodies = Bodies::new();
            for id in 0..streams {
                let bounds = if tenant { Bounds { tenant_rate: Some(rate), ..NO_BOUNDS } } else { viewer_rate(rate) };
                let viewer = if tenant { id.to_string() } else { "alice".to_owned() };
                let permit = admit(&limiter, &viewer, stream(i32::try_from(id).unwrap()), bounds, Duration::ZERO);
                let piece = permit.piece().unwrap() as u64;
                bodies.start(permit, piece, Duration::ZERO);
            }
            let name = format!("{streams} streams at {rate}, tenant: {tenant}");
            let burst = bodies.run(Duration::ZERO);
            let wanted = rate.max(65_536);
            assert!(burst <= wanted && burst * 100 >= wanted * 75, "{name}: a burst of {burst}");
            let rest = bodies.run(10 * SECOND);
            let wanted = 10 * rate + (wanted - burst);
            assert!(rest.abs_diff(wanted) * 100 <= wanted, "{name}: {rest} in ten seconds, not {wanted}");
            let (least, most) = (bodies.sent.iter().min().unwrap(), bodies.sent.iter().max().unwrap());
            assert!(most - least <= 2 * bodies.piece[0], "{name}: shares of {least} to {most}");
        }
    }
}

/// In no stretch of time does more go out than a burst and the rate, with pieces of any size at any time.
#[test]
fn no_stretch_of_time_has_more_than_burst_and_rate() {
    let mut random = random("no_stretch_of_time_has_more_than_burst_and_rate");
    for _ in 0..200 {
        let rate = random.random_range(1024..5_000_000_u64);
        let limiter = Limiter::new();
        let permit = admit(&limiter, "alice", stream(1), viewer_rate(rate), Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut sent: Vec<(Duration, u64)> = Vec::new();
        for _ in 0..60 {
            now += Duration::from_micros(random.random_range(0..400_000));
            let bytes = random.random_range(0..300_000);
            now += take(&permit, bytes, now);
            sent.push((now, bytes));
        }
        for (first, (start, piece)) in sent.iter().enumerate() {
            let mut sum = 0;
            for (end, bytes) in &sent[first..] {
                sum += bytes;
                // A piece larger than the burst goes as one, once all of it has been paid for.
                let burst = rate.max(65_536).max(*piece);
                let most = burst as f64 + rate as f64 * (*end - *start).as_secs_f64();
                assert!(sum as f64 <= most + 1.0, "{sum} bytes from {start:?} to {end:?} at {rate}");
            }
        }
    }
}

/// One request for each slice, as a downloader would that hopes for a fresh burst each time.
#[test]
fn reconnecting_buys_nothing() {
    let (limiter, rate) = (Limiter::new(), 100_000_u64);
    let (mut now, mut sent) = (Duration::ZERO, 0);
    for id in 0.. {
        let permit = admit(&limiter, "alice", stream(id), viewer_rate(rate), now);
        now += take(&permit, 50_000, now);
        if now > 10 * SECOND {
            break;
        }
        sent += 50_000;
    }
    assert_eq!(sent, 11 * rate);
    // Likewise if it goes for a while: the bucket fills by the rate, and no faster.
    let permit = admit(&limiter, "alice", stream(0), viewer_rate(rate), now + SECOND / 2);
    assert_eq!(take(&permit, rate, now + SECOND / 2), SECOND / 2);
}

/// A viewer that came back before its turn in the queue is remembered on, and forgotten once it is even.
#[test]
fn coming_and_going_ends_with_nothing() {
    let limiter = Limiter::new();
    for step in 0..100_u32 {
        let now = SECOND / 10 * step;
        let permit = admit(&limiter, "alice", stream(1), viewer_rate(65_536), now);
        let _ = take(&permit, 10_000, now);
        drop(permit);
        assert_eq!(limiter.stats(now).viewers, 1, "step {step}");
    }
    assert_eq!(limiter.stats(60 * SECOND).viewers, 0);
}

#[test]
fn the_newest_rate_holds_for_all() {
    let limiter = Limiter::new();
    let mut bodies = Bodies::new();
    let first = admit(&limiter, "alice", stream(1), viewer_rate(100_000), Duration::ZERO);
    bodies.start(first, 1000, Duration::ZERO);
    bodies.run(2 * SECOND);
    let wider = admit(&limiter, "alice", stream(1), viewer_rate(400_000), 2 * SECOND);
    let rate = bodies.run(12 * SECOND) / 10;
    assert!(rate.abs_diff(400_000) <= 4000, "{rate}");
    let tighter = admit(&limiter, "alice", stream(1), viewer_rate(50_000), 12 * SECOND);
    // What it had saved goes first.
    bodies.run(14 * SECOND);
    let rate = bodies.run(24 * SECOND) / 10;
    assert!(rate.abs_diff(50_000) <= 500, "{rate}");
    // Without a rate: not paced, and nobody else's business.
    let free = admit(&limiter, "alice", stream(1), Bounds { viewer_streams: Some(1), ..NO_BOUNDS }, 24 * SECOND);
    assert!(take(&free, 1 << 40, 24 * SECOND).is_zero() && free.piece().is_none());
    let rate = bodies.run(34 * SECOND) / 10;
    assert!(rate.abs_diff(50_000) <= 500, "{rate}");
    drop((wider, tighter));
}

#[test]
fn the_tighter_of_viewer_and_tenant_holds() {
    for (viewer, tenant, wanted) in
        [(100_000, 1_000_000, 400_000), (100_000, 200_000, 200_000), (500_000, 80_000, 80_000)]
    {
        let limiter = Limiter::new();
        let mut bodies = Bodies::new();
        for (id, name) in [(0, "alice"), (1, "bob"), (2, "carol"), (3, "dave")] {
            let bounds = Bounds { viewer_rate: Some(viewer), tenant_rate: Some(tenant), ..NO_BOUNDS };
            bodies.start(admit(&limiter, name, stream(id), bounds, Duration::ZERO), 1000, Duration::ZERO);
        }
        bodies.run(20 * SECOND);
        let rate = bodies.run(30 * SECOND) / 10;
        assert!(rate.abs_diff(wanted) * 50 <= wanted, "{rate}, not {wanted}");
    }
}

#[test]
fn pieces_fit_the_rate() {
    let table = [(0, 256), (1024, 256), (8192, 1024), (80_000, 10_000), (1 << 20, 1 << 17), (1 << 40, 1 << 18)];
    for (rate, piece) in table {
        let limiter = Limiter::new();
        assert_eq!(admit(&limiter, "alice", stream(1), viewer_rate(rate), SECOND).piece(), Some(piece), "{rate}");
        let both = Bounds { viewer_rate: Some(1 << 40), tenant_rate: Some(rate), ..NO_BOUNDS };
        assert_eq!(admit(&limiter, "bob", stream(1), both, SECOND).piece(), Some(piece), "{rate}");
    }
}

#[test]
fn ends_of_numbers_and_of_time() {
    let limiter = Limiter::new();
    for rate in [0, 1, u64::MAX] {
        let permit = admit(&limiter, "alice", stream(1), viewer_rate(rate), Duration::MAX);
        for now in [Duration::MAX, Duration::ZERO, Duration::MAX] {
            for _ in 0..3 {
                let _ = take(&permit, u64::MAX, now);
            }
        }
    }
    let stats = limiter.stats(Duration::ZERO);
    assert!(stats.waited > Duration::ZERO);
}

/// Threads read the clock before they get the lock: an older time is no debt and no present.
#[test]
fn a_time_a_little_older_is_harmless() {
    let limiter = Limiter::new();
    let permit = admit(&limiter, "alice", stream(1), viewer_rate(65_536), SECOND);
    assert_eq!(take(&permit, 65_536, 2 * SECOND), Duration::ZERO);
    assert_eq!(take(&permit, 65_536, SECOND), 2 * SECOND);
    assert_eq!(take(&permit, 0, 3 * SECOND), Duration::ZERO);
    assert_eq!(limiter.stats(3 * SECOND).waited, 2 * SECOND);
}
