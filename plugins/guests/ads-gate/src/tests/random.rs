//! Any playlist, also one that is none: what comes out still is what went in, with whole ads between its segments.

use crate::AdsGate;
use std::hash::{BuildHasher, Hasher, RandomState};
use streamvault_sdk::{
    AdPods, Ads, MediaPlaylist, PlaylistKind,
    testing::{Request, setting},
};

/// A sequence that its seed repeats.
struct Dice(u64);

impl Dice {
    /// By `STREAMVAULT_SEED`, else new; printed by whatever fails.
    fn new() -> (Self, String) {
        let given = std::env::var("STREAMVAULT_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        (Self(seed | 1), format!("replay with STREAMVAULT_SEED={seed}"))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn text(&mut self, words: &[&str], most: usize) -> String {
        (0..self.below(most)).map(|_| words[self.below(words.len())]).collect()
    }
}

const LINES: &[&str] = &[
    "#EXTINF:9.9,\na.ts\n",
    "#EXTINF:9.9,\nb.ts\r\n",
    "#EXTINF:4\n",
    "#EXT-X-BYTERANGE:10\n",
    "#EXT-X-BYTERANGE:10@5\n",
    "#EXT-X-DISCONTINUITY\n",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n",
    "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"l\",IV=0x2,KEYFORMAT=\"drm\"\n",
    "#EXT-X-KEY:METHOD=NONE\n",
    "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T00:00:00Z\n",
    "# päuse\n",
    "\n",
    "#",
];

/// What a player would fetch, with the keys and the section it would use: the lines' texts, not their places.
fn played(text: &str) -> Vec<(String, Vec<String>, Option<String>)> {
    let list = MediaPlaylist::parse(text).expect("a list");
    let segments = list.segments.iter().map(|segment| {
        let address = text[..segment.end].trim_end().rsplit('\n').next().unwrap_or_default();
        let keys = segment.keys.iter().map(|key| text[key.clone()].to_string()).collect();
        (address.to_string(), keys, segment.map.clone().map(|map| text[map].to_string()))
    });
    segments.collect()
}

#[test]
fn breaks_leave_each_segment_what_it_was() {
    let (mut dice, seed) = Dice::new();
    setting("preroll", ["4 /ad.ts", "-", "5 /ad.ts"]);
    setting("midroll", ["30 /ad.ts"]);
    let mut changed = 0;
    for round in 0..3_000 {
        setting("midroll_every", [0, 10, 25][dice.below(3)]);
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-PLAYLIST-TYPE:VOD\n";
        let text = format!("{head}{}", dice.text(LINES, 60));
        let gate = AdsGate::load().expect("settings hold");
        let edits = gate.playlist(&Request::new().build(), PlaylistKind::HlsMedia, &text);
        changed += usize::from(!edits.is_empty());
        let after = edits.apply(&text).unwrap_or_else(|| panic!("{seed}, round {round}: edits don't fit\n{text}"));
        let (before, mut after_segments) = (played(&text), played(&after));
        assert!(
            after_segments
                .iter()
                .filter(|(address, ..)| address == "/ad.ts")
                .all(|(_, keys, map)| keys.is_empty() && map.is_none()),
            "{seed}, round {round}: an ad is encrypted\n{after}"
        );
        after_segments.retain(|(address, ..)| address != "/ad.ts");
        assert_eq!(before, after_segments, "{seed}, round {round}\n{text}\n->\n{after}");
    }
    assert!(changed > 1_000, "{seed}: only {changed} playlists had breaks");
}

#[test]
fn any_text_is_taken() {
    let (mut dice, seed) = Dice::new();
    let words = [
        "#EXTM3U\n",
        "#EXT-X-KEY:METHOD=",
        "#EXTINF:",
        "9",
        ",",
        ".",
        "\"",
        "=",
        "\n",
        "é",
        "<",
        ">",
        "/",
        "VAST",
        " version=",
        "'3.0'",
        "Ad",
        " sequence=\"7\"",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "?",
        "!",
        "<VAST version=\"4.0\">",
        "<Ad>",
        "</Ad>",
        "</VAST>",
    ];
    for round in 0..20_000 {
        let text = dice.text(&words, 30);
        // Neither may panic, and what is found must be a place in the text.
        let _ = MediaPlaylist::parse(&text);
        if let Some(pods) = AdPods::parse(&text) {
            let mut edits = streamvault_sdk::Edits::none();
            pods.add(["<InLine/>".to_string()], &mut edits);
            let after = edits.apply(&text);
            assert!(
                after.is_some_and(|after| AdPods::parse(&after).is_some_and(|again| again.ads() == pods.ads() + 1)),
                "{seed}, round {round}: {text}"
            );
        }
    }
}
