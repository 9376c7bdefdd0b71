use alloc::{format, string::String, vec::Vec};
use streamvault_sdk::{Edits, MediaPlaylist, Segment, config, debug};

/// No break so near to the end: who watched so far isn't kept from it.
const TAIL: u64 = 30_000;

/// What the contract lets a text grow by at least.
const GROWTH: usize = 64 << 10;

/// Ad breaks of HLS media playlists.
#[derive(Debug)]
pub(crate) struct Breaks {
    before: Vec<Clip>,
    between: Vec<Clip>,
    /// Milliseconds from break to break; 0: none but before.
    every: u64,
    most: usize,
    /// Initialisation section of the ads' segments, if they are fMP4.
    map: &'static str,
}

/// A segment of an ad, or the seam between two ads.
#[derive(Debug)]
enum Clip {
    Segment { milliseconds: u64, address: &'static str },
    Seam,
}

impl Breaks {
    pub(crate) fn load() -> Result<Self, String> {
        let number = |name, default: u64| match config::integer(name) {
            None => Ok(default),
            Some(number) => u64::try_from(number).map_err(|_| format!("{name} must not be negative")),
        };
        let map = config::text("ad_map").unwrap_or_default();
        if !map.is_empty() {
            check_address("ad_map", map)?;
        }
        Ok(Self {
            before: clips("preroll")?,
            between: clips("midroll")?,
            every: number("midroll_every", 0)?.saturating_mul(1_000),
            most: usize::try_from(number("midroll_most", 10)?).unwrap_or(usize::MAX),
            map,
        })
    }

    /// Puts the breaks into a media playlist. One that they would break is left as it is.
    pub(crate) fn put_into(&self, text: &str) -> Edits {
        let mut edits = Edits::none();
        if self.before.is_empty() && (self.between.is_empty() || self.every == 0) {
            return edits;
        }
        let Some(list) = MediaPlaylist::parse(text) else { return edits };
        let Some((target, seconds)) = list.target_duration.clone() else { return edits };
        if let Some(why) = self.obstacle(&list) {
            debug!("no ad breaks in this playlist: {why}");
            return edits;
        }
        let mut room = text.len().max(GROWTH) - GROWTH / 64;
        let mut longest = seconds;
        for (at, clips) in self.places(&list) {
            let before = at.checked_sub(1).and_then(|before| list.segments.get(before));
            let inserted = self.write(clips, text, &list, before, &list.segments[at]);
            if inserted.len() > room {
                break;
            }
            room -= inserted.len();
            longest = longest.max(clips.iter().map(Clip::seconds).max().unwrap_or(0));
            edits.insert(list.segments[at].start, inserted);
        }
        if longest > seconds {
            edits.replace(target.start, target.end, format!("#EXT-X-TARGETDURATION:{longest}"));
        }
        edits
    }

    fn obstacle(&self, list: &MediaPlaylist) -> Option<&'static str> {
        let maps = list.segments.iter().filter(|segment| segment.map.is_some()).count();
        if list.special {
            Some("it is a list of frames, a low-latency one, an update, or malformed")
        } else if !list.grows_only {
            Some("it is a live window, whose segments move")
        } else if list.numbered_keys {
            Some("its keys depend on the segments' numbers")
        } else if maps != 0 && maps != list.segments.len() {
            Some("only some of its segments are fMP4")
        } else if (maps != 0) == self.map.is_empty() {
            Some("its segments are fMP4 and the ads' are not, or the other way round")
        } else {
            None
        }
    }

    /// The segments that breaks come before.
    fn places<'a>(&'a self, list: &'a MediaPlaylist) -> Vec<(usize, &'a [Clip])> {
        let mut places = Vec::new();
        if !self.before.is_empty() && !list.segments.is_empty() {
            places.push((0, self.before.as_slice()));
        }
        if self.every == 0 || self.between.is_empty() {
            return places;
        }
        let whole: u64 = list.segments.iter().map(|segment| segment.milliseconds).sum();
        let (mut played, mut due, mut breaks) = (0, self.every, 0);
        for (at, segment) in list.segments.iter().enumerate() {
            if played >= due && !segment.continues && breaks < self.most && whole - played >= TAIL {
                places.push((at, self.between.as_slice()));
                breaks += 1;
                due = played + self.every;
            }
            played += segment.milliseconds;
        }
        places
    }

    /// One break, and all that makes what follows it what it was.
    fn write(
        &self,
        clips: &[Clip],
        text: &str,
        list: &MediaPlaylist,
        before: Option<&Segment>,
        after: &Segment,
    ) -> String {
        let mut lines = String::new();
        let mut line = |content: &str| {
            lines.push_str(content);
            lines.push('\n');
        };
        if before.is_some() {
            line("#EXT-X-DISCONTINUITY");
        }
        let keys = before.map(|before| before.keys.as_slice()).unwrap_or_default();
        if !keys.is_empty() {
            line("#EXT-X-KEY:METHOD=NONE");
        }
        if !self.map.is_empty() {
            line(&format!("#EXT-X-MAP:URI=\"{}\"", self.map));
        }
        for clip in clips {
            match clip {
                Clip::Seam => line("#EXT-X-DISCONTINUITY"),
                // Fractions came with version 3.
                Clip::Segment { milliseconds, .. } if list.version < 3 => {
                    line(&format!("#EXTINF:{},", milliseconds.div_ceil(1_000)))
                }
                Clip::Segment { milliseconds, .. } => {
                    line(&format!("#EXTINF:{}.{:03},", milliseconds / 1_000, milliseconds % 1_000))
                }
            }
            if let Clip::Segment { address, .. } = clip {
                line(address);
            }
        }
        if !after.discontinuity {
            line("#EXT-X-DISCONTINUITY");
        }
        for key in keys {
            line(&text[key.clone()]);
        }
        if let Some(map) = before.and_then(|before| before.map.clone()) {
            line(&text[map]);
        }
        lines
    }
}

impl Clip {
    /// What the target duration has to allow; it bounds rounded durations, and ours may be rounded up.
    fn seconds(&self) -> u64 {
        match self {
            Self::Segment { milliseconds, .. } => milliseconds.div_ceil(1_000),
            Self::Seam => 0,
        }
    }
}

fn clips(setting: &str) -> Result<Vec<Clip>, String> {
    let mut clips = Vec::new();
    for text in config::texts(setting) {
        if text == "-" {
            clips.push(Clip::Seam);
            continue;
        }
        let parsed = text.split_once(' ').and_then(|(seconds, address)| Some((milliseconds(seconds)?, address.trim())));
        let Some((milliseconds, address)) = parsed else {
            return Err(format!("{setting}: `{text}` is neither `SECONDS ADDRESS` nor `-`"));
        };
        check_address(setting, address)?;
        clips.push(Clip::Segment { milliseconds, address });
    }
    Ok(clips)
}

fn milliseconds(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.parse().ok()?;
    // Below a tenth or above an hour it is no segment but a slip.
    if !(0.1..=3_600.0).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just above")]
    Some((seconds * 1_000.0 + 0.5) as u64)
}

/// Addresses go into lines, attributes and redirects: nothing in them may end one.
pub(crate) fn check_address(setting: &str, address: &str) -> Result<(), String> {
    let begins = address.starts_with("https://") || address.starts_with("http://");
    // Two slashes would be another host.
    let begins = begins || (address.starts_with('/') && !address.starts_with("//"));
    if begins && address.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\')) {
        Ok(())
    } else {
        Err(format!(
            "{setting}: `{address}` is neither an http(s) address nor a path, or has blanks, quotes or letters to escape"
        ))
    }
}
