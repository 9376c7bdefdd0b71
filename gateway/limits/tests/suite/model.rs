//! Random admissions, drops and pieces against a model that is too plain to be wrong: lists, and buckets that nobody
//! ever forgets.

use crate::support::take;
use crate::support::{from, random};
use limits::{Bounds, Full, Limiter, Permit, StreamId};
use rand::{RngExt, rngs::StdRng};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

struct Request {
    permit: Permit,
    tenant: &'static str,
    viewer: &'static str,
    stream: StreamId,
    bounds: Bounds,
}

impl Request {
    fn counted(&self) -> bool {
        self.bounds != Bounds::default()
    }
}

/// Rate, bytes, and when they were so many.
#[derive(Clone, Copy)]
struct Bucket(f64, f64, f64);

impl Bucket {
    fn settle(&mut self, now: f64) {
        self.1 = (self.1 + self.0 * (now - self.2)).min(self.0.max(65_536.0));
        self.2 = now;
    }

    fn set(bucket: &mut Option<Self>, rate: u64, now: f64) {
        let rate = rate as f64;
        let bucket = bucket.get_or_insert(Self(rate, rate.max(65_536.0), now));
        bucket.settle(now);
        let full = bucket.1 >= bucket.0.max(65_536.0) - 0.001;
        bucket.0 = rate;
        bucket.1 = if full { rate.max(65_536.0) } else { bucket.1.min(rate.max(65_536.0)) };
    }

    fn take(bucket: &mut Option<Self>, bytes: u64, now: f64) -> f64 {
        let Some(bucket) = bucket else { return 0.0 };
        bucket.settle(now);
        bucket.1 -= bytes as f64;
        (-bucket.1 / bucket.0).max(0.0)
    }
}

fn bounds(random: &mut StdRng) -> Bounds {
    let rate = |random: &mut StdRng, scale: u64| random.random_bool(0.5).then(|| random.random_range(1..50) * scale);
    Bounds {
        viewer_streams: random.random_bool(0.6).then(|| random.random_range(0..4)),
        tenant_streams: random.random_bool(0.6).then(|| random.random_range(2..7)),
        viewer_rate: rate(random, 10_000),
        tenant_rate: rate(random, 40_000),
    }
}

#[test]
fn against_the_model() {
    let mut random = random("against_the_model");
    for _ in 0..150 {
        one_life(&mut random);
    }
}

fn one_life(random: &mut StdRng) {
    let limiter = Limiter::new();
    let mut live: Vec<Request> = Vec::new();
    let mut buckets: HashMap<(&str, Option<&str>), Option<Bucket>> = HashMap::new();
    let (mut now, mut refused) = (Duration::ZERO, (0, 0));
    for _ in 0..400 {
        if random.random_bool(0.3) {
            now += Duration::from_millis(random.random_range(0..3000));
        }
        let time = now.as_secs_f64();
        match random.random_range(0..10) {
            0..4 => {
                let tenant = ["films", "books"][random.random_range(0..2)];
                let viewer = ["alice", "bob", "carol"][random.random_range(0..3)];
                let stream = from(random.random_range(0..2), random.random_range(0..3));
                let bounds = bounds(random);
                let wanted = verdict(&live, tenant, viewer, stream, &bounds);
                let got = limiter.admit(tenant, viewer, stream, &bounds, now);
                assert_eq!(got.as_ref().err(), wanted.as_ref().err());
                match got {
                    Err(Full::Viewer) => refused.0 += 1,
                    Err(Full::Tenant) => refused.1 += 1,
                    Ok(permit) => {
                        if let Some(rate) = bounds.viewer_rate {
                            Bucket::set(buckets.entry((tenant, Some(viewer))).or_default(), rate, time);
                        }
                        if let Some(rate) = bounds.tenant_rate {
                            Bucket::set(buckets.entry((tenant, None)).or_default(), rate, time);
                        }
                        live.push(Request { permit, tenant, viewer, stream, bounds });
                    }
                }
            }
            4..6 if !live.is_empty() => {
                live.swap_remove(random.random_range(0..live.len()));
            }
            6..10 if !live.is_empty() => {
                let request = &live[random.random_range(0..live.len())];
                let bytes = random.random_range(0..200_000);
                let mut wanted = 0.0_f64;
                for (rate, viewer) in
                    [(request.bounds.viewer_rate, Some(request.viewer)), (request.bounds.tenant_rate, None)]
                {
                    if rate.is_some() {
                        wanted =
                            wanted.max(Bucket::take(buckets.entry((request.tenant, viewer)).or_default(), bytes, time));
                    }
                }
                let got = take(&request.permit, bytes, now).as_secs_f64();
                assert!((got - wanted).abs() < 1e-5, "{got} s, not {wanted} s");
            }
            _ => {}
        }
        let stats = limiter.stats(now);
        let streams: BTreeSet<_> = live.iter().filter(|request| request.counted()).map(name).collect();
        assert_eq!(stats.streams, streams.len() as u64);
        assert_eq!((stats.refused_viewer, stats.refused_tenant), refused);
    }
    live.clear();
    let stats = limiter.stats(now + Duration::from_secs(100_000));
    assert_eq!((stats.streams, stats.viewers, stats.tenants), (0, 0, 0));
}

fn name(request: &Request) -> (&'static str, &'static str, String) {
    (request.tenant, request.viewer, format!("{:?}", request.stream))
}

fn verdict(live: &[Request], tenant: &str, viewer: &str, stream: StreamId, bounds: &Bounds) -> Result<(), Full> {
    if *bounds == Bounds::default() {
        return Ok(());
    }
    let of_tenant: Vec<&Request> =
        live.iter().filter(|request| request.tenant == tenant && request.counted()).collect();
    let of_viewer = || of_tenant.iter().filter(|request| request.viewer == viewer);
    if of_viewer().any(|request| request.stream == stream) {
        return Ok(());
    }
    let count = |requests: Vec<&Request>| requests.into_iter().map(name).collect::<BTreeSet<_>>().len();
    if bounds.viewer_streams.is_some_and(|most| count(of_viewer().copied().collect()) >= most as usize) {
        return Err(Full::Viewer);
    }
    if bounds.tenant_streams.is_some_and(|most| count(of_tenant.clone()) >= most as usize) {
        return Err(Full::Tenant);
    }
    Ok(())
}
