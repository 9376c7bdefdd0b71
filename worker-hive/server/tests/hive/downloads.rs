//! What arrives is what lies at Telegram, and nothing is asked for twice.

use crate::rig::{KIB, MIB, Rig, film, film_bytes, sha};
use http::StatusCode;
use telegram_sim::Account;

#[tokio::test]
async fn whole_files_of_every_size_from_home_and_abroad() {
    let sizes = [0, 1, MIB - 1, MIB, MIB + 1, 37 * MIB];
    let documents = [2, 4].iter().flat_map(|dc| sizes.iter().map(|size| film(*dc, *size))).collect();
    let rig = Rig::start(vec![Account::bot("bot", 7001)], documents).await;
    let mut message = 0;
    for dc in [2, 4] {
        for size in sizes {
            message += 1;
            let answer = rig.get(message, None).await;
            assert_eq!(
                (answer.status, answer.headers["content-length"].to_str().unwrap()),
                (StatusCode::OK, size.to_string().as_str())
            );
            assert_eq!(sha(&answer.whole()), sha(&film_bytes(dc, size, 0, size)), "dc {dc}, {size} bytes");
        }
    }
    let counts = rig.counts();
    assert!(counts.chunks.iter().all(|chunk| chunk.asked == 1), "{:?}", counts.chunks);
    assert_eq!(counts.bytes["bot"], 2 * sizes.iter().sum::<u64>(), "no byte is fetched twice");
    assert_eq!(counts.calls("auth.exportAuthorization"), 1);
    assert_eq!(counts.calls("auth.importAuthorization"), 1);
}

#[tokio::test]
async fn ranges_at_every_seam() {
    let size = 3 * MIB + 5;
    let rig = Rig::start(vec![Account::bot("bot", 7001)], vec![film(4, size)]).await;
    let seams = [0, 1, KIB - 1, KIB, 64 * KIB, 512 * KIB - 1, 512 * KIB, MIB - 1, MIB, 2 * MIB + 7, 3 * MIB, size - 1];
    for first in seams {
        for last in seams.iter().copied().filter(|last| *last >= first) {
            let answer = rig.get(1, Some((first, last))).await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
            assert_eq!(answer.headers["content-range"], format!("bytes {first}-{last}/{size}").as_str());
            assert!(answer.whole() == film_bytes(4, size, first, last + 1), "{first}-{last}");
        }
    }
}
