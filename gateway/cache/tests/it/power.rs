//! Power cuts on a simulated disk: no wrong byte after any, nothing lost that a finished pass had brought to the device, and
//! nothing back that was purged before one.

use crate::owed::{Ledger, Owed, slices};
use crate::simulated::{Cut, Lies, Simulated};
use crate::support::{Film, SLICE, config, open, range, worlds};
use cache::{Cache, Running, Scope};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;
use std::sync::Arc;

fn film(rng: &mut StdRng) -> Film {
    Film { size: rng.random_range(1..3 * SLICE), seed: rng.random() }
}

async fn act(rng: &mut StdRng, ledger: &mut Ledger, cache: &Cache, disk: &Simulated, roomy: bool) {
    let at = rng.random_range(0..ledger.films.len());
    let size = ledger.film(at).size;
    match rng.random_range(0..12) {
        0 => {
            cache.purge(&Scope::Media(ledger.films[at].0), Running::Finish).await;
            // A disk without power has deleted nothing.
            let purged = !disk.is_cut();
            ledger.films[at].1 = Owed { purged, ..Owed::default() };
        }
        1 => ledger.change(at, film(rng)),
        2..4 => {
            if cache.sync().await {
                for (_, owed) in &mut ledger.films {
                    owed.kept.clone_from(&owed.whole);
                    owed.gone = owed.purged;
                }
            }
        }
        _ => {
            let start = rng.random_range(0..size);
            let wanted = range(start, rng.random_range(start + 1..=size));
            ledger.fetch(cache, at, wanted).await;
            // With little room, what is there is the cache's own affair.
            if roomy && !disk.is_cut() {
                ledger.films[at].1.whole.extend(slices(wanted));
            }
        }
    }
}

async fn play(seed: u64, lies: Lies) {
    let mut rng = StdRng::seed_from_u64(seed);
    let roomy = rng.random_bool(0.7);
    let films = [film(&mut rng), film(&mut rng), film(&mut rng)];
    let (mut ledger, mut disk) = (Ledger::new(&films), Arc::new(Simulated::new(lies)));
    for _ in 0..5 {
        let mut config = config(Path::new("/cache"));
        config.device = Some(disk.clone());
        config.meta_ttl = std::time::Duration::ZERO;
        if !roomy {
            config.max_size = 3 * SLICE;
        }
        let cache = open(config, &ledger.origin);
        ledger.settle(&cache).await;
        for at in 0..ledger.films.len() {
            let all = if roomy { slices(range(0, ledger.film(at).size)) } else { 0..0 };
            ledger.films[at].1.whole = all.collect();
        }
        disk.cut_after(rng.random_range(1..70));
        for _ in 0..20 {
            act(&mut rng, &mut ledger, &cache, &disk, roomy).await;
            if disk.is_cut() {
                break;
            }
        }
        cache.idle().await;
        drop(cache);
        let survives = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        let sector = [512, 4096][rng.random_range(0..2)];
        disk = disk.survivors(Cut { sector, survives }, &mut rng);
    }
}

#[tokio::test]
async fn what_was_synced_survives_power_cuts_and_no_byte_is_wrong() {
    // Five power cuts each.
    worlds(400, |seed| play(seed, Lies::None)).await;
}

#[tokio::test]
async fn a_device_that_pretends_to_sync_is_found_out() {
    // Or else the test above could not fail.
    for lies in [Lies::Files, Lies::Folders] {
        let mut found = 0;
        for seed in 0..200 {
            found += u32::from(tokio::spawn(play(seed, lies)).await.is_err());
        }
        assert!(found > 0, "{lies:?}: no world lost anything");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes; make soak runs it"]
async fn soak_power_cuts() {
    worlds(10_000, |seed| play(seed, Lies::None)).await;
}
