//! HLS media playlists (RFC 8216), read line by line with their places in the text.

use alloc::vec::Vec;
use core::ops::Range;

/// A line of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'text> {
    /// First byte.
    pub start: usize,
    /// First byte of the next line.
    pub next: usize,
    /// Without the line break.
    pub text: &'text str,
}

impl<'text> Line<'text> {
    /// All lines of a text.
    pub fn all(text: &'text str) -> impl Iterator<Item = Self> {
        let mut start = 0;
        text.split_inclusive('\n').map(move |whole| {
            let line = Self { start, next: start + whole.len(), text: whole.trim_end_matches(['\r', '\n']) };
            start = line.next;
            line
        })
    }

    /// The value of a tag (`#EXTINF:4.2,` has `4.2,` for `EXTINF`), empty if it has none; `None` if it is another line.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&'text str> {
        let rest = self.text.strip_prefix('#')?.strip_prefix(name)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix(':') }
    }

    fn is_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.tag(name).is_some())
    }
}

/// A segment of a media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First byte of its first tag; texts for before the segment go here.
    pub start: usize,
    /// First byte after its address's line.
    pub end: usize,
    /// How long it plays.
    pub milliseconds: u64,
    /// Whether it begins with `EXT-X-DISCONTINUITY`.
    pub discontinuity: bool,
    /// Whether its byte range goes on where that of the segment before it ended: nothing may come between them.
    pub continues: bool,
    /// Lines with the keys in force for it (`EXT-X-KEY`), each as a place in the text. Empty: none, or `METHOD=NONE`.
    pub keys: Vec<Range<usize>>,
    /// Line with the initialisation section in force for it (`EXT-X-MAP`).
    pub map: Option<Range<usize>>,
}

/// A list of segments. What doesn't concern putting segments between others is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// `EXT-X-VERSION`; 1 if there is none.
    pub version: u32,
    /// The line of `EXT-X-TARGETDURATION`, and its seconds.
    pub target_duration: Option<(Range<usize>, u64)>,
    /// In order.
    pub segments: Vec<Segment>,
    /// Whether segments only ever come in at the end (`EXT-X-ENDLIST`, or `EXT-X-PLAYLIST-TYPE`): in any other playlist
    /// they also go, and what was put in at one place would be elsewhere in the next copy.
    pub grows_only: bool,
    /// Whether the list is what putting segments in would break: frames only, low-latency parts, a delta update, or
    /// addresses without a duration.
    pub special: bool,
    /// Whether a key's initialisation vector is the segment's number, which putting segments in would change.
    pub numbered_keys: bool,
}

/// Tags that belong to the segment after them.
const OF_SEGMENT: &[&str] = &[
    "EXTINF",
    "EXT-X-BYTERANGE",
    "EXT-X-DISCONTINUITY",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXT-X-BITRATE",
    "EXT-X-DATERANGE",
    "EXT-X-CUE-OUT",
    "EXT-X-CUE-IN",
];

const SPECIAL: &[&str] = &["EXT-X-I-FRAMES-ONLY", "EXT-X-PART-INF", "EXT-X-PART", "EXT-X-SKIP", "EXT-X-STREAM-INF"];

impl MediaPlaylist {
    /// Reads a list; `None` if the text isn't one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = Line::all(text);
        // A byte order mark is not allowed, and common.
        let first = lines.next()?.text.trim_start_matches('\u{feff}');
        if first.trim_end() != "#EXTM3U" {
            return None;
        }
        let mut list = Self { version: 1, ..Self::default() };
        let mut reader = Reader::default();
        for line in lines {
            if line.text.is_empty() {
                continue;
            }
            if line.text.starts_with('#') {
                list.header(&line);
                list.numbered_keys |= reader.tag(&line);
            } else {
                match reader.address(&line) {
                    Some(segment) => list.segments.push(segment),
                    None => list.special = true,
                }
            }
        }
        Some(list)
    }

    fn header(&mut self, line: &Line<'_>) {
        if let Some(version) = line.tag("EXT-X-VERSION") {
            self.version = version.trim().parse().unwrap_or(1);
        } else if let Some(seconds) = line.tag("EXT-X-TARGETDURATION") {
            self.target_duration = seconds.trim().parse().ok().map(|seconds| (place(line), seconds));
        } else if line.is_any(&["EXT-X-ENDLIST", "EXT-X-PLAYLIST-TYPE"]) {
            self.grows_only = true;
        } else if line.is_any(SPECIAL) {
            self.special = true;
        }
    }
}

/// What is known when a segment's address comes.
#[derive(Default)]
struct Reader<'text> {
    start: Option<usize>,
    milliseconds: Option<u64>,
    discontinuity: bool,
    continues: bool,
    /// By format: a key is in force until the next one of its own.
    keys: Vec<(&'text str, Range<usize>)>,
    map: Option<Range<usize>>,
}

impl<'text> Reader<'text> {
    /// Takes a tag; true if it is a key whose vector is the segment's number.
    fn tag(&mut self, line: &Line<'text>) -> bool {
        if !line.is_any(OF_SEGMENT) {
            return false;
        }
        self.start.get_or_insert(line.start);
        if let Some(key) = line.tag("EXT-X-KEY") {
            if attribute(key, "METHOD") == Some("NONE") {
                self.keys.clear();
                return false;
            }
            let format = attribute(key, "KEYFORMAT").unwrap_or("identity");
            self.keys.retain(|(known, _)| *known != format);
            self.keys.push((format, place(line)));
            return attribute(key, "IV").is_none();
        }
        if let Some(duration) = line.tag("EXTINF") {
            self.milliseconds = milliseconds(duration.split(',').next().unwrap_or_default());
        } else if let Some(range) = line.tag("EXT-X-BYTERANGE") {
            self.continues = !range.contains('@');
        } else if line.tag("EXT-X-DISCONTINUITY").is_some() {
            self.discontinuity = true;
        } else if line.tag("EXT-X-MAP").is_some() {
            self.map = Some(place(line));
        }
        false
    }

    fn address(&mut self, line: &Line<'_>) -> Option<Segment> {
        let start = self.start.take().unwrap_or(line.start);
        let (discontinuity, continues) = (self.discontinuity, self.continues);
        (self.discontinuity, self.continues) = (false, false);
        Some(Segment {
            start,
            end: line.next,
            milliseconds: self.milliseconds.take()?,
            discontinuity,
            continues,
            keys: self.keys.iter().map(|(_, place)| place.clone()).collect(),
            map: self.map.clone(),
        })
    }
}

fn place(line: &Line<'_>) -> Range<usize> {
    line.start..line.start + line.text.len()
}

/// Milliseconds of a decimal number of seconds, what is below them cut off.
fn milliseconds(seconds: &str) -> Option<u64> {
    let (whole, part) = seconds.trim().split_once('.').unwrap_or((seconds.trim(), ""));
    let digits = part.bytes().chain([b'0'; 3]).take(3);
    let part = digits.map(|digit| char::from(digit).to_digit(10).map(u64::from));
    let part = part.reduce(|sum, digit| Some(sum? * 10 + digit?))??;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(part)
}

/// An attribute of a list `NAME=value,NAME="value"`, without its quotes.
fn attribute<'text>(list: &'text str, name: &str) -> Option<&'text str> {
    let mut rest = list;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::{MediaPlaylist, attribute, milliseconds};

    const LIST: &str = "#EXTM3U\r\n#EXT-X-VERSION:4\r\n#EXT-X-TARGETDURATION:10\r\n#EXT-X-MEDIA-SEQUENCE:3\r\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k,1\",IV=0x01\r\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k2\",IV=0x02,KEYFORMAT=\"drm\"\r\n\
        #EXTINF:9.5,title, with comma\r\na.ts\r\n\r\n#EXT-X-BYTERANGE:100\r\n#EXTINF:9,\r\na.ts\r\n\
        #EXT-X-DISCONTINUITY\r\n#EXT-X-KEY:METHOD=NONE\r\n#EXT-X-MAP:URI=\"i.mp4\"\r\n#EXTINF:1.0039,\r\nb.mp4\r\n#EXT-X-ENDLIST\r\n";

    #[test]
    fn a_list_is_read_with_its_places() {
        let list = MediaPlaylist::parse(LIST).unwrap();
        assert_eq!((list.version, list.grows_only, list.special, list.numbered_keys), (4, true, false, false));
        let (target, seconds) = list.target_duration.clone().unwrap();
        assert_eq!((&LIST[target], seconds), ("#EXT-X-TARGETDURATION:10", 10));
        let [first, second, third] = &list.segments[..] else { panic!("{list:?}") };
        assert!(LIST[first.start..].starts_with("#EXT-X-KEY:METHOD=AES-128"));
        assert!(LIST[..first.end].ends_with("comma\r\na.ts\r\n"));
        assert_eq!((first.milliseconds, second.milliseconds, third.milliseconds), (9_500, 9_000, 1_003));
        assert_eq!((first.keys.len(), second.keys.len(), third.keys.len()), (2, 2, 0));
        assert_eq!((first.continues, second.continues, third.continues), (false, true, false));
        assert_eq!((second.discontinuity, third.discontinuity), (false, true));
        assert!(second.map.is_none() && LIST[third.map.clone().unwrap()].contains("i.mp4"));
    }

    #[test]
    fn a_key_is_in_force_until_the_next_of_its_format() {
        let key = |format: &str, uri: &str| {
            format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{uri}\",IV=0x1,KEYFORMAT=\"{format}\"\n")
        };
        let none = "#EXT-X-KEY:METHOD=NONE\n";
        let cases = [
            (key("a", "1") + &key("b", "2"), vec!["1", "2"]),
            (key("a", "1") + &key("b", "2") + "#EXTINF:4,\nx.ts\n" + &key("a", "3"), vec!["2", "3"]),
            (key("a", "1") + none, vec![]),
            (key("a", "1") + none + &key("b", "2"), vec!["2"]),
        ];
        for (keys, wanted) in cases {
            let text = format!("#EXTM3U\n{keys}#EXTINF:4,\na.ts\n");
            let segments = MediaPlaylist::parse(&text).unwrap().segments;
            let last = segments.last().unwrap();
            let found: Vec<_> = last.keys.iter().map(|key| attribute(&text[key.clone()], "URI").unwrap()).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn what_must_not_be_touched_is_known() {
        let list = |line: &str| MediaPlaylist::parse(&format!("#EXTM3U\n{line}\n#EXTINF:4,\na.ts\n")).unwrap();
        assert!(!list("#EXT-X-TARGETDURATION:4").grows_only);
        assert!(list("#EXT-X-PLAYLIST-TYPE:EVENT").grows_only);
        assert!(list("#EXT-X-I-FRAMES-ONLY").special && list("b.ts").special && !list("# b.ts").special);
        assert!(list("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"").numbered_keys);
        assert!(!list("#EXT-X-KEY:METHOD=AES-128,URI=\"IV=1\",IV=0x1").numbered_keys);
        assert_eq!(MediaPlaylist::parse("<html>"), None);
        assert_eq!(MediaPlaylist::parse(""), None);
        assert!(MediaPlaylist::parse("\u{feff}#EXTM3U").is_some());
    }

    #[test]
    fn numbers_and_attributes() {
        for (text, wanted) in
            [("9", Some(9_000)), ("9.", Some(9_000)), ("0.0404", Some(40)), ("1.x", None), ("-1", None)]
        {
            assert_eq!(milliseconds(text), wanted, "{text}");
        }
        assert_eq!(attribute("A=\"x,B=2\",B=3", "B"), Some("3"));
        assert_eq!(attribute("A=1", "B"), None);
        assert_eq!(attribute("A=\"open", "A"), None);
    }
}
