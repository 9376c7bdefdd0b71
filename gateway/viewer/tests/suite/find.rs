//! Where tokens are found.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};
use viewer::find_token;

fn found(header: Option<&HeaderName>, cookie: Option<&str>, sent: &[(&HeaderName, &[u8])]) -> Option<String> {
    let sent = sent.iter().map(|(name, value)| ((*name).clone(), HeaderValue::from_bytes(value).unwrap()));
    find_token(&sent.collect::<HeaderMap>(), header, cookie).map(str::to_owned)
}

#[test]
fn authorization_wants_the_scheme() {
    let table: &[(&[u8], Option<&str>)] = &[
        (b"Bearer x.y.z", Some("x.y.z")),
        (b"bearer x.y.z", Some("x.y.z")),
        (b"Bearer   x.y.z ", Some("x.y.z")),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"x.y.z", None),
        (b"Basic x.y.z", None),
        (b"BearerX x.y.z", None),
        (b"", None),
        (b"Bearer \xff", None),
    ];
    for (value, wanted) in table {
        let sent: &[(&HeaderName, &[u8])] = &[(&AUTHORIZATION, value)];
        assert_eq!(found(Some(&AUTHORIZATION), None, sent).as_deref(), *wanted, "{}", value.escape_ascii());
        assert_eq!(found(None, None, sent), None, "nobody asked for it");
    }
}

#[test]
fn another_header_is_bare() {
    let name = HeaderName::from_static("x-viewer");
    let table: &[(&[u8], Option<&str>)] = &[(b"x.y.z", Some("x.y.z")), (b" x.y.z ", Some("x.y.z")), (b"", None)];
    for (value, wanted) in table {
        assert_eq!(found(Some(&name), None, &[(&name, value)]).as_deref(), *wanted, "{}", value.escape_ascii());
    }
    let twice: &[(&HeaderName, &[u8])] = &[(&name, b""), (&name, b"first"), (&name, b"second")];
    assert_eq!(found(Some(&name), None, twice).as_deref(), Some("first"));
}

#[test]
fn cookies() {
    let table: &[(&[&[u8]], Option<&str>)] = &[
        (&[b"viewer=x.y.z"], Some("x.y.z")),
        (&[b"a=1; viewer=x.y.z; b=2"], Some("x.y.z")),
        (&[b"a=1;viewer=x.y.z;b=2"], Some("x.y.z")),
        (&[b"a=1", b"viewer=x.y.z"], Some("x.y.z")),
        (&[b"viewer=\"x.y.z\""], Some("x.y.z")),
        (&[b"viewer=x=y"], Some("x=y")),
        (&[b"viewer=first; viewer=second"], Some("first")),
        (&[b"viewer=; viewer=second"], Some("second")),
        // Another cookie that is no text hides nothing.
        (&[b"name=J\xf6rg; viewer=x.y.z"], Some("x.y.z")),
        (&[b"viewer=\xff; viewer=x.y.z"], Some("x.y.z")),
        (&[b"Viewer=x.y.z"], None),
        (&[b"xviewer=x.y.z"], None),
        (&[b"a=viewer=x.y.z"], None),
        (&[b"viewer"], None),
        (&[b"viewer=\"\""], None),
        (&[b";;; ="], None),
        (&[b""], None),
        (&[], None),
    ];
    for (values, wanted) in table {
        let sent: Vec<(&HeaderName, &[u8])> = values.iter().map(|value| (&COOKIE, *value)).collect();
        assert_eq!(found(None, Some("viewer"), &sent).as_deref(), *wanted, "{values:?}");
    }
}

#[test]
fn the_header_goes_first() {
    let both: &[(&HeaderName, &[u8])] = &[(&COOKIE, b"viewer=cookie"), (&AUTHORIZATION, b"Bearer header")];
    assert_eq!(found(Some(&AUTHORIZATION), Some("viewer"), both).as_deref(), Some("header"));
    let other: &[(&HeaderName, &[u8])] = &[(&COOKIE, b"viewer=cookie"), (&AUTHORIZATION, b"Basic YTpi")];
    assert_eq!(found(Some(&AUTHORIZATION), Some("viewer"), other).as_deref(), Some("cookie"));
}
