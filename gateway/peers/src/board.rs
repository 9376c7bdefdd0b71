//! What keeps gateways from waiting for each other in a circle.
//!
//! Not to pass a request on is not enough: who is asked serves out of its cache, and there the request would join a fill that is
//! under way, which may itself be waiting for a gateway, perhaps for the one that asks. So while a media's bytes are asked of
//! another gateway, requests for it by others don't touch the cache but go straight to the hive; and while such a request is
//! served from the cache, whatever the cache lacks of the media comes from the hive. Then a gateway's request waits for the hive
//! alone, and no circle closes.
//!
//! Nor by places: a cache bounds its fills, and two whose places were all held by fills from each other would wait in line for each other.
//! So only so many transfers come from gateways at once, and the rest of the places are the hive's.

use parking_lot::Mutex;
use slice::MediaId;
use std::collections::HashMap;
use std::sync::Arc;

/// Who waits for whom, for each media that anybody waits for.
#[derive(Debug)]
pub(crate) struct Board {
    all: Mutex<All>,
    most_away: usize,
}

#[derive(Debug, Default)]
struct All {
    media: HashMap<MediaId, Entry>,
    away: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Transfers from other gateways, under way.
    away: u32,
    /// Requests of other gateways, being served from the cache.
    home: u32,
}

/// A transfer of this media from another gateway is under way.
#[derive(Debug)]
pub(crate) struct Away {
    board: Arc<Board>,
    media: MediaId,
}

/// Another gateway is served with this media: until it is dropped, what the cache lacks of it comes from the hive.
#[derive(Debug)]
pub struct AtHome {
    board: Arc<Board>,
    media: MediaId,
}

impl Board {
    /// At most so many transfers from other gateways at once.
    pub(crate) fn new(most_away: usize) -> Self {
        Self { all: Mutex::default(), most_away }
    }

    /// Another gateway may be asked for the media, unless one is being served with it, or too many are being asked.
    pub(crate) fn go_away(self: &Arc<Self>, media: MediaId) -> Option<Away> {
        let mut all = self.all.lock();
        if all.away >= self.most_away || all.media.get(&media).is_some_and(|entry| entry.home > 0) {
            return None;
        }
        all.away += 1;
        all.media.entry(media).or_default().away += 1;
        Some(Away { board: Arc::clone(self), media })
    }

    /// Another gateway may be served with the media from the cache, unless bytes of it are awaited from a gateway.
    pub(crate) fn stay_home(self: &Arc<Self>, media: MediaId) -> Option<AtHome> {
        let mut all = self.all.lock();
        if all.media.get(&media).is_some_and(|entry| entry.away > 0) {
            return None;
        }
        all.media.entry(media).or_default().home += 1;
        Some(AtHome { board: Arc::clone(self), media })
    }
}

impl All {
    fn change(&mut self, media: MediaId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.media.get_mut(&media) {
            change(entry);
            if entry.away == 0 && entry.home == 0 {
                self.media.remove(&media);
            }
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let mut all = self.board.all.lock();
        all.away = all.away.saturating_sub(1);
        all.change(self.media, |entry| entry.away = entry.away.saturating_sub(1));
    }
}

impl Drop for AtHome {
    fn drop(&mut self) {
        self.board.all.lock().change(self.media, |entry| entry.home = entry.home.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::Board;
    use slice::MediaId;
    use std::sync::Arc;

    #[test]
    fn nobody_is_away_for_a_media_while_somebody_is_home_for_it() {
        let board = Arc::new(Board::new(2));
        let (film, other) = (MediaId::message(-5, 1), MediaId::message(-5, 2));
        let away = [board.go_away(film), board.go_away(film)];
        assert!(away.iter().all(Option::is_some));
        assert!(board.stay_home(film).is_none());
        assert!(board.go_away(MediaId::message(-5, 3)).is_none(), "so many are away, and no more");
        let home = [board.stay_home(other), board.stay_home(other)];
        assert!(home.iter().all(Option::is_some) && board.go_away(other).is_none());
        let [first, second] = away;
        drop(first);
        assert!(board.stay_home(film).is_none(), "one is still away");
        drop(second);
        assert!(board.stay_home(film).is_some());
        drop(home);
        assert!(board.go_away(other).is_some());
        assert!(board.all.lock().media.is_empty(), "who waits for nothing is forgotten");
        assert_eq!(board.all.lock().away, 0);
    }
}
