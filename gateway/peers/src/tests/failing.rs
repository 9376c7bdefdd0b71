//! Owners that are well, dead, silent, liars.

use super::support::{
    ALIVE, Act, DESCRIBED, Other, count, fault, gateway, gateway_with, is_for_life, meta, other, part, read,
};
use slice::{OriginError, SliceOrigin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

#[tokio::test]
async fn the_owner_is_asked_and_nobody_else() {
    let describes = |request: &str| request.starts_with("HEAD /v1/media/");
    let act =
        move |request: &str| Act::Say(if describes(request) { DESCRIBED.to_owned() } else { part(request, "v1", 10) });
    let (owner, second) = (other(act).await, other(|_| Act::Say(String::new())).await);
    let (peers, hive, media) = gateway(&[&owner, &second]);
    assert_eq!(peers.describe(media).await, Ok(meta()));
    assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    assert!(hive.asked.lock().is_empty() && second.asked.lock().is_empty());
    let requests = owner.asked.lock().clone();
    assert!(requests.iter().all(|request| request.contains("x-streamvault-hop: this.test:1\r\n")), "{requests:?}");
    assert!(requests.iter().all(|request| request.contains("authorization: Bearer token\r\n")), "{requests:?}");
    assert_eq!((count(&peers, "asked"), count(&peers, "asked_bytes"), count(&peers, "bypassed")), (2, 6, 0));
}

#[tokio::test]
async fn what_is_its_own_it_asks_of_the_hive() {
    let (peers, hive, media) = gateway(&[]);
    assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    assert_eq!(*hive.asked.lock(), ["2..8"]);
    assert_eq!(count(&peers, "asked"), 0);
}

#[tokio::test]
async fn a_dead_owner_costs_nothing_and_the_next_of_the_ring_has_its_media() {
    let mut owner = other(|_| Act::Say(String::new())).await;
    let second = other(|request| Act::Say(part(request, "v1", 10))).await;
    owner.die().await;
    let (peers, hive, media) = gateway(&[&owner, &second]);
    for _ in 0..3 {
        assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    }
    assert_eq!((second.media_requests(), hive.asked.lock().len()), (3, 0));
    assert_eq!((count(&peers, "lost"), count(&peers, "bypassed"), peers.reach()), (1, 3, (2, 1)));
    // With both gone, this one is next, and its own origin is the hive.
    let mut second = second;
    second.die().await;
    assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    assert_eq!(*hive.asked.lock(), ["2..8"]);
}

/// An answer that never begins, and one that stops: neither life nor bytes come any more.
#[tokio::test]
async fn a_silent_owner_is_bypassed_and_its_bytes_go_on_where_they_stood() {
    for (said, rest) in [(0, "2..8"), (3, "5..8")] {
        let act = move |request: &str| {
            let begins = said > 0 && !is_for_life(request);
            Act::Hold(if begins { part(request, "v1", said) } else { String::new() })
        };
        let (owner, second) = (other(act).await, other(|request| Act::Say(part(request, "v1", 10))).await);
        let (peers, hive, media) = gateway_with(&[&owner, &second], Duration::from_millis(50));
        assert_eq!(read(&peers, media).await.unwrap(), b"234567");
        // Whoever waited for one dead gateway does not find out about a second.
        assert_eq!((*hive.asked.lock()).as_slice(), [rest]);
        assert_eq!((count(&peers, "lost"), count(&peers, "resumed")), (1, u64::from(said > 0)));
        // The others don't wait at all, and the ring's next has the media.
        assert_eq!(read(&peers, media).await.unwrap(), b"234567");
        assert_eq!((owner.media_requests(), second.media_requests()), (1, 1));
    }
}

#[tokio::test]
async fn an_owner_that_waits_for_the_hive_is_waited_for() {
    let (signs, slow) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (seen, go) = (Arc::clone(&signs), Arc::clone(&slow));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hive_client::HiveAddress::Tcp(listener.local_addr().unwrap().to_string());
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (seen, go) = (Arc::clone(&seen), Arc::clone(&go));
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                if is_for_life(&request) {
                    stream.write_all(ALIVE.as_bytes()).await.unwrap();
                    // It had been silent for long enough to be asked three times, and was not given up.
                    if seen.fetch_add(1, Ordering::SeqCst) == 2 {
                        go.notify_one();
                    }
                } else {
                    go.notified().await;
                    stream.write_all(part(&request, "v1", 10).as_bytes()).await.unwrap();
                }
            });
        }
    });
    let owner = Other { address, asked: Arc::default(), serving };
    let (peers, hive, media) = gateway_with(&[&owner], Duration::from_millis(200));
    assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    assert!(signs.load(Ordering::SeqCst) >= 3 && hive.asked.lock().is_empty());
    assert_eq!(count(&peers, "lost"), 0);
}

#[tokio::test]
async fn lies_are_refused_and_the_hive_is_asked() {
    type Lie = fn(&str) -> String;
    let lies: [(&str, Lie, &str); 8] = [
        ("short, with a clean end", |request| part(request, "v1", 3).replace("length: 6", "length: 3"), "5..8"),
        ("short, broken off", |request| part(request, "v1", 3), "5..8"),
        ("another version", |request| part(request, "v2", 10), "2..8"),
        ("another range", |request| part(request, "v1", 10).replace("bytes 2-7/10", "bytes 3-8/10"), "2..8"),
        ("another size", |request| part(request, "v1", 10).replace("2-7/10", "2-7/11"), "2..8"),
        ("200 for a range", |_| DESCRIBED.replace("length: 10", "length: 6") + "234567", "2..8"),
        ("garbage", |_| "\0\u{1}garbage\r\n\r\n".to_owned(), "2..8"),
        ("a fault of no table", |_| fault("500 Oops", "melted"), "2..8"),
    ];
    for (name, lie, rest) in lies {
        let liar = other(move |request| Act::Say(lie(request))).await;
        let (peers, hive, media) = gateway(&[&liar]);
        assert_eq!(read(&peers, media).await.as_deref(), Ok(&b"234567"[..]), "{name}");
        assert_eq!((*hive.asked.lock()).as_slice(), [rest], "{name}");
    }
}

#[tokio::test]
async fn of_faults_the_owner_knows_what_the_hive_knows() {
    for (status, code, expected) in [
        ("404 Not Found", "not-found", Err(OriginError::NotFound)),
        ("410 Gone", "gone", Err(OriginError::Gone)),
        ("503 No", "flood-wait", Err(OriginError::Busy { retry_after: None })),
        ("412 No", "changed", Ok(b"234567".to_vec())),
        ("502 Bad", "upstream-reset", Ok(b"234567".to_vec())),
        ("504 Late", "timeout", Ok(b"234567".to_vec())),
        ("401 No", "unauthorized", Ok(b"234567".to_vec())),
    ] {
        let owner = other(move |_| Act::Say(fault(status, code))).await;
        let (peers, hive, media) = gateway(&[&owner]);
        let asks_the_hive = usize::from(expected.is_ok());
        assert_eq!(read(&peers, media).await, expected, "{code}");
        assert_eq!(hive.asked.lock().len(), asks_the_hive, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_owner_is_asked_again_when_it_answers() {
    let ill = Arc::new(AtomicUsize::new(1));
    let health = Arc::clone(&ill);
    let owner = other(move |request| {
        Act::Say(match (is_for_life(request), health.load(Ordering::SeqCst)) {
            (true, 0) => ALIVE.to_owned(),
            (false, 0) => part(request, "v1", 10),
            _ => String::new(),
        })
    })
    .await;
    let (peers, hive, media) = gateway(&[&owner]);
    assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    assert_eq!((hive.asked.lock().len(), peers.reach()), (1, (1, 1)));
    ill.store(0, Ordering::SeqCst);
    while peers.reach() != (1, 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    assert_eq!((hive.asked.lock().len(), owner.media_requests()), (1, 2));
}

#[tokio::test]
async fn nobody_is_asked_for_a_media_that_another_is_served_with() {
    let owner = other(|request| Act::Say(part(request, "v1", 10))).await;
    let (peers, hive, media) = gateway(&[&owner]);
    let home = peers.stay_home(media).unwrap();
    assert_eq!(read(&peers, media).await.unwrap(), b"234567");
    assert_eq!((owner.media_requests(), hive.asked.lock().len()), (0, 1));
    drop(home);
    let opened = peers.open(media, &slice::ETag::new("v1"), super::support::RANGE).await.unwrap();
    assert!(peers.stay_home(media).is_none(), "its bytes are awaited from a gateway");
    drop(opened);
    assert!(peers.stay_home(media).is_some());
}
