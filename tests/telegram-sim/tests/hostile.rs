//! Bytes that no client would send: the simulator closes or answers with an error, never panics, and serves on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::Client;
use grammers_crypto::{AuthKey, DequeBuffer, encrypt_data_v2};
use grammers_mtproto::transport::{Full, Transport};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use telegram_sim::{Account, Channel, Document, SessionSeed, Sim, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHANNEL: i64 = 1_700_000_001;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of every thread of this test's process, the simulator's included.
fn watch_for_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        default(info);
    }));
}

/// The seed of this run; set TELEGRAM_SIM_SEED to the one a failure printed to see it again.
fn rng() -> StdRng {
    let seed = std::env::var("TELEGRAM_SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("TELEGRAM_SIM_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn start() -> Sim {
    Sim::start(
        World::new(9)
            .with_account(Account::user("user-1", 5_000_000_001))
            .with_account(Account::bot("bot-1", 7_000_000_001))
            .with_channel(Channel::new(CHANNEL, "c").with_document(2, Document::generated("d", 2, 1 << 20, 1))),
    )
    .unwrap()
}

async fn still_serves(sim: &Sim) {
    let bot = Client::of(sim, "bot-1");
    let document = bot.document(CHANNEL, 2).await.unwrap();
    assert_eq!(bot.part(2, &document, 0, 4096).await.unwrap().len(), 4096);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "the simulator panicked; its message is above");
}

/// Sends and waits until the server has closed, or had the time to answer the ping that closes every conversation.
async fn throw(sim: &Sim, bytes: &[u8]) {
    let mut stream = TcpStream::connect(sim.dc_addr(2).unwrap()).await.unwrap();
    // The server may have closed before everything was written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

fn noise(rng: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=most)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A packet of the full transport that a client with this key could have sent.
fn sealed(key: &[u8; 256], transport: &mut Full, salt: i64, id: i64, body: &[u8], length: u32) -> Vec<u8> {
    let mut buffer = DequeBuffer::with_capacity(body.len() + 64, 64);
    for field in [salt, 77, id] {
        buffer.extend(field.to_le_bytes());
    }
    buffer.extend(1_u32.to_le_bytes());
    buffer.extend(length.to_le_bytes());
    buffer.extend(body.iter().copied());
    encrypt_data_v2(&mut buffer, &AuthKey::from_bytes(*key));
    transport.pack(&mut buffer);
    buffer[..].to_vec()
}

fn now_id(step: i64) -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    (now << 32) | (step << 2)
}

#[tokio::test]
async fn noise_on_every_transport() {
    watch_for_panics();
    let mut rng = rng();
    let sim = start();
    for _ in 0..300 {
        let mut bytes = noise(&mut rng, 300);
        let front: &[u8] = match rng.random_range(0..6) {
            0 => &[0xef],
            1 => &[0xee; 4],
            2 => &[0xdd; 4],
            3 => &[0xee, 0xee, 0xee, 0xee, 24, 0, 0, 0],
            // An unencrypted message with a random method of the key exchange.
            4 => &[0xef, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0],
            _ => &[],
        };
        bytes.splice(0..0, front.iter().copied());
        throw(&sim, &bytes).await;
    }
    still_serves(&sim).await;
}

/// The salt that the key has, taken from the notice that a wrong one is answered with.
async fn salt_of(sim: &Sim, seed: &SessionSeed) -> i64 {
    let key = seed.auth_key(2).unwrap();
    let mut stream = TcpStream::connect(sim.dc_addr(2).unwrap()).await.unwrap();
    let ping = [0xec, 0x77, 0xbe, 0x7a, 1, 0, 0, 0, 0, 0, 0, 0];
    stream.write_all(&sealed(&key, &mut Full::new(), 0, now_id(1), &ping, 12)).await.unwrap();
    let mut answer = vec![0; 4096];
    let mut filled = 0;
    let mut transport = Full::new();
    loop {
        filled += stream.read(&mut answer[filled..]).await.unwrap();
        if let Ok(packet) = transport.unpack(&mut answer.clone()[..filled]) {
            let opened =
                grammers_crypto::decrypt_data_v2(&mut answer[packet.data_range], &AuthKey::from_bytes(key)).unwrap();
            // Behind the envelope: constructor, id, sequence and code, then the salt.
            return i64::from_le_bytes(opened[52..60].try_into().unwrap());
        }
    }
}

#[tokio::test]
async fn noise_from_a_signed_in_client() {
    watch_for_panics();
    let mut rng = rng();
    let sim = start();
    let seed = sim.seeds().remove(0);
    let (key, salt) = (seed.auth_key(2).unwrap(), salt_of(&sim, &seed).await);
    let methods: Vec<u32> = include_str!("methods.txt")
        .lines()
        .map(|line| u32::from_str_radix(line.split_whitespace().next().unwrap(), 16).unwrap())
        .collect();
    for round in 0..400 {
        let mut transport = Full::new();
        let mut bytes = Vec::new();
        for step in 0..5 {
            let method = methods[rng.random_range(0..methods.len())];
            let mut body = method.to_le_bytes().to_vec();
            body.extend(noise(&mut rng, 200));
            if rng.random_range(0..3) == 0 {
                // Small numbers pass for flags, lengths and counts more often than noise does.
                body.iter_mut().skip(4).for_each(|byte| *byte = if *byte < 128 { 0 } else { *byte & 3 });
            }
            let length = if rng.random_range(0..8) == 0 { rng.random() } else { body.len() as u32 };
            let id = if rng.random_range(0..8) == 0 { rng.random() } else { now_id(round * 8 + step) };
            bytes.extend(sealed(&key, &mut transport, salt, id, &body, length));
        }
        throw(&sim, &bytes).await;
    }
    let counts = sim.counters().snapshot();
    assert!(counts.calls.len() > 20, "the noise reached too few methods to mean anything: {counts:?}");
    still_serves(&sim).await;
}
