use crate::AdsGate;
use streamvault_sdk::{
    Ads, MediaPlaylist, PlaylistKind,
    testing::{Request, setting},
};

fn played(kind: PlaylistKind, text: &str) -> String {
    let gate = AdsGate::load().expect("settings hold");
    gate.playlist(&Request::new().build(), kind, text).apply(text).expect("edits fit the text")
}

/// So many segments of ten seconds.
fn film(header: &str, segments: usize, end: &str) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n{header}");
    for number in 0..segments {
        text.push_str(&format!("#EXTINF:10.000,\n{number}.ts\n"));
    }
    text + end
}

const END: &str = "#EXT-X-ENDLIST\n";

#[test]
fn an_ad_before_the_film() {
    setting("preroll", ["5.5 https://ads.example/a.ts", "-", "12.01 /b.ts"]);
    let wanted = film("", 2, END).replace("TARGETDURATION:10", "TARGETDURATION:13").replacen(
        "#EXTINF:10.000,\n",
        "#EXTINF:5.500,\nhttps://ads.example/a.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:12.010,\n/b.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:10.000,\n",
        1,
    );
    assert_eq!(played(PlaylistKind::HlsMedia, &film("", 2, END)), wanted);
}

#[test]
fn breaks_inside_come_at_segments_and_not_near_the_end() {
    setting("midroll", ["4 /ad.ts"]);
    setting("midroll_every", 25);
    let names = |segments| -> Vec<String> {
        let text = played(PlaylistKind::HlsMedia, &film("", segments, END));
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim_end_matches(".ts").into()).collect()
    };
    assert_eq!(names(9), ["0", "1", "2", "/ad", "3", "4", "5", "/ad", "6", "7", "8"]);
    assert_eq!(names(8), ["0", "1", "2", "/ad", "3", "4", "5", "6", "7"]);
    setting("midroll_most", 1);
    assert_eq!(names(12).iter().filter(|name| *name == "/ad").count(), 1);
}

#[test]
fn what_follows_a_break_keeps_its_keys_and_sections() {
    setting("midroll", ["4 /ad.m4s"]);
    setting("midroll_every", 10);
    setting("ad_map", "/ad.mp4");
    let keys = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"a\",IV=0x1\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"b\",IV=0x1,KEYFORMAT=\"drm\"\n";
    let map = "#EXT-X-MAP:URI=\"i.mp4\"\n";
    let text = played(PlaylistKind::HlsMedia, &film(&format!("{keys}{map}"), 5, END));
    let wanted = format!(
        "1.ts\n#EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"/ad.mp4\"\n#EXTINF:4.000,\n/ad.m4s\n\
         #EXT-X-DISCONTINUITY\n{keys}{map}#EXTINF:10.000,\n2.ts\n"
    );
    assert!(text.contains(&wanted), "{text}");
    let list = MediaPlaylist::parse(&text).expect("still a list");
    for segment in &list.segments {
        let ad = text[segment.start..segment.end].contains("/ad.m4s");
        assert_eq!(segment.keys.len(), if ad { 0 } else { 2 });
        assert_eq!(text[segment.map.clone().unwrap()].contains("/ad.mp4"), ad);
    }
}

#[test]
fn byte_ranges_that_go_on_are_not_parted() {
    setting("midroll", ["4 /ad.ts"]);
    setting("midroll_every", 10);
    let mut text = film("", 0, "");
    for at in ["@0", "", "", "@300", "", "", ""] {
        text.push_str(&format!("#EXTINF:10,\n#EXT-X-BYTERANGE:100{at}\nall.ts\n"));
    }
    let text = played(PlaylistKind::HlsMedia, &(text + END));
    assert_eq!(text.matches("/ad.ts").count(), 1);
    assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXTINF:10,\n#EXT-X-BYTERANGE:100@300\n"), "{text}");
}

#[test]
fn playlists_that_a_break_would_break_stay_as_they_are() {
    setting("preroll", ["4 /ad.ts"]);
    for text in [
        film("", 5, ""),
        film("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n", 5, END),
        film("#EXT-X-MAP:URI=\"i.mp4\"\n", 5, END),
        film("#EXT-X-I-FRAMES-ONLY\n", 5, END),
        film("#EXT-X-PART-INF:PART-TARGET=0.3\n", 5, END),
        film("", 0, END),
        "#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n".into(),
        "no playlist".into(),
    ] {
        assert_eq!(played(PlaylistKind::HlsMedia, &text), text);
    }
    assert_eq!(played(PlaylistKind::HlsMaster, &film("", 5, END)), film("", 5, END));
    setting("paid_values", ["premium"]);
    let gate = AdsGate::load().expect("settings hold");
    let paid = Request::new().claim("tier", "premium").build();
    assert!(gate.playlist(&paid, PlaylistKind::HlsMedia, &film("", 5, END)).is_empty());
}

#[test]
fn an_old_playlist_gets_whole_seconds() {
    setting("preroll", ["4.2 /ad.ts"]);
    let old = film("", 1, END).replace("#EXT-X-VERSION:3\n", "").replace("10.000", "10");
    assert!(played(PlaylistKind::HlsMedia, &old).contains("#EXTINF:5,\n/ad.ts\n"));
}

#[test]
fn a_text_grows_no_more_than_the_gateway_takes() {
    let long = format!("4 /{}", "a".repeat(2_000));
    setting("midroll", [long.as_str(); 4]);
    setting("midroll_every", 10);
    setting("midroll_most", 1_000);
    let text = film("", 100, END);
    let grown = played(PlaylistKind::HlsMedia, &text);
    assert!(grown.len() > text.len() + 50_000 && grown.len() <= text.len() + 65_536);
}

#[test]
fn a_vast_response_gets_further_ads() {
    setting("vast_tags", ["https://ads.example/vast?a=1&b=2"]);
    let text = played(PlaylistKind::Vast, "<VAST version=\"3.0\"><Ad id=\"1\"></Ad></VAST>");
    assert!(text.starts_with(
        "<VAST version=\"3.0\"><Ad sequence=\"1\" id=\"1\"></Ad><Ad id=\"pod-2\" sequence=\"2\"><Wrapper>"
    ));
    assert!(text.contains("<![CDATA[https://ads.example/vast?a=1&b=2]]>") && text.ends_with("</Wrapper></Ad></VAST>"));
    assert_eq!(played(PlaylistKind::Vast, "<VMAP/>"), "<VMAP/>");
}

#[test]
fn settings_that_don_t_fit_are_told() {
    for (name, value) in [
        ("preroll", "https://ads.example/a.ts"),
        ("preroll", "0 /a.ts"),
        ("preroll", "five /a.ts"),
        ("midroll", "5 ads.example/a.ts"),
        ("midroll", "5 /a.ts\n#EXT-X-ENDLIST"),
        ("vast_tags", "//ads.example/"),
    ] {
        setting("preroll", ["5 /a.ts"]);
        setting("midroll", ["5 /a.ts"]);
        setting("vast_tags", ["/vast"]);
        setting(name, [value]);
        assert!(AdsGate::load().is_err(), "{name} = {value}");
    }
}
