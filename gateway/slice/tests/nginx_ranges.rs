//! A live nginx serves static files; where the table says that we agree, ranges and conditions must give the same.

#[cfg(test)]
#[path = "../../link/tests/nginx/mod.rs"]
mod nginx;
#[cfg(test)]
#[path = "../../link/tests/seed/mod.rs"]
mod seed;

#[cfg(test)]
mod tests {
    use crate::nginx::{Client, Nginx, Response};
    use crate::seed::seed;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};
    use slice::{Answer, ETag, MediaMeta, answer, content_range, unsatisfied_range};
    use std::collections::BTreeMap;
    use std::time::UNIX_EPOCH;

    const SIZES: [usize; 4] = [0, 1, 10, 70_000];

    type Headers = [(&'static str, String)];
    /// Whether a request, its headers and the size of its file, falls under a difference.
    type Covers = fn(&Headers, usize) -> bool;

    /// Where we differ from nginx on purpose, and why. A row that nothing falls under any more fails the test.
    const DIFFERENCES: [(&str, Covers); 4] = [
        ("RFC 9110 §14.2: a malformed Range is ignored; nginx sends 416", |headers, _| {
            headers.iter().any(|(name, value)| *name == "range" && MALFORMED.contains(&value.as_str()))
        }),
        (
            "RFC 9110 §14.1.2: no range of an empty file is satisfiable; nginx sends 200 for one from byte 0",
            |headers, size| size == 0 && has(headers, "range"),
        ),
        ("RFC 9110 §13.1.4: If-Unmodified-Since is ignored next to If-Match; nginx wants both", |headers, _| {
            has(headers, "if-match") && has(headers, "if-unmodified-since")
        }),
        ("RFC 9110 §13.1.3: If-Modified-Since is ignored next to If-None-Match; nginx wants both", |headers, _| {
            has(headers, "if-none-match") && has(headers, "if-modified-since")
        }),
    ];

    const MALFORMED: [&str; 6] = ["bytes=5-4", "bytes=x", "bytes=-", "bytes=1", "bytes=", "bytes=0-1x"];

    fn has(headers: &Headers, name: &str) -> bool {
        headers.iter().any(|(known, _)| *known == name)
    }

    fn start() -> Nginx {
        let files: Vec<_> =
            SIZES.iter().map(|size| (size.to_string(), (0..*size).map(|i| i as u8).collect())).collect();
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes): &(_, Vec<u8>)| (name.as_str(), &**bytes)).collect();
        Nginx::start(&files, |folder| {
            format!(
                "server {{\nlisten unix:{0}/files;\nroot {0};\nif_modified_since before;\ndefault_type video/mp4;\n}}\n",
                folder.display()
            )
        })
    }

    fn ask(nginx: &mut Client, method: &str, size: usize, headers: &[(&str, String)]) -> Response {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        nginx.exchange(format!("{method} /{size} HTTP/1.1\r\nHost: h\r\n{lines}\r\n").as_bytes(), method == "HEAD")
    }

    fn meta(nginx: &mut Client, size: usize) -> MediaMeta {
        let response = ask(nginx, "HEAD", size, &[]);
        let modified = httpdate::parse_http_date(response.header("last-modified").unwrap()).unwrap();
        MediaMeta {
            etag: ETag::new(response.header("etag").unwrap().trim_matches('"')),
            size: size as u64,
            content_type: "video/mp4".to_owned(),
            last_modified: Some(modified.duration_since(UNIX_EPOCH).unwrap().as_secs()),
            file_name: None,
            spans: None,
        }
    }

    /// Status, `Content-Range` and body, as the edge answers by our table.
    fn ours(headers: &[(&str, String)], meta: &MediaMeta) -> (u16, Option<String>, Vec<u8>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let bytes = |start: u64, end: u64| (start..end).map(|i| i as u8).collect();
        match answer(&map, meta, 16) {
            Answer::Full => (200, None, bytes(0, meta.size)),
            Answer::Partial(range) => (206, Some(content_range(range, meta.size)), bytes(range.start, range.end)),
            Answer::Multipart(_) => (206, None, Vec::new()),
            Answer::NotModified => (304, None, Vec::new()),
            Answer::PreconditionFailed => (412, None, Vec::new()),
            Answer::Unsatisfiable => (416, Some(unsatisfied_range(meta.size)), Vec::new()),
        }
    }

    fn range(rng: &mut StdRng, size: usize) -> String {
        let near = |rng: &mut StdRng| match rng.random_range(0..4) {
            0 => rng.random_range(0..3_usize),
            1 => rng.random_range(0..=size),
            2 => (size + rng.random_range(0..4)).saturating_sub(2),
            _ => rng.random_range(0..100_000),
        };
        let (a, b) = (near(rng), near(rng));
        match rng.random_range(0..9) {
            4 => MALFORMED.choose(rng).unwrap().to_string(),
            5 => format!("bytes={}-", u128::MAX),
            // Of several, those past the end fall away.
            6 => format!("bytes={}-, {}-{}", size + a, a.min(b), a.max(b)),
            0 => format!("bytes={a}-"),
            1 => format!("bytes=-{a}"),
            2 => format!("Bytes={}-000{}", a.min(b), a.max(b)),
            3 => format!("items={a}-{b}"),
            _ => format!("bytes={}-{}", a.min(b), a.max(b)),
        }
    }

    fn conditions(rng: &mut StdRng, meta: &MediaMeta) -> Vec<(&'static str, String)> {
        let tag = format!("\"{}\"", meta.etag.as_str());
        let tags =
            [tag.clone(), format!("\"x\", {tag}"), format!("W/{tag}"), "\"x\"".into(), "W/\"x\"".into(), "*".into()];
        let modified = meta.last_modified.unwrap();
        let dates = [modified - 1, modified, modified + 1];
        let dates = dates.map(|at| httpdate::fmt_http_date(UNIX_EPOCH + std::time::Duration::from_secs(at)));
        let mut headers = Vec::new();
        for (name, values) in [
            ("if-match", &tags[..]),
            ("if-none-match", &tags[..]),
            ("if-modified-since", &dates[..]),
            ("if-unmodified-since", &dates[..]),
            ("if-range", &[tag.clone(), "\"x\"".to_owned(), dates[0].clone(), dates[1].clone()][..]),
        ] {
            if rng.random_ratio(1, 5) {
                headers.push((name, values.choose(rng).unwrap().clone()));
            }
        }
        headers
    }

    #[test]
    fn answers_equal_those_of_nginx() {
        let mut server = start();
        let mut nginx = server.connect("files");
        let metas = SIZES.map(|size| (size, meta(&mut nginx, size)));
        let mut rng = StdRng::seed_from_u64(seed());
        let (mut seen, mut wrong) = (BTreeMap::<u16, usize>::new(), Vec::new());
        let mut on_purpose = DIFFERENCES.map(|_| 0);
        for _ in 0..4_000 {
            let (size, meta) = metas.choose(&mut rng).unwrap();
            let mut headers = conditions(&mut rng, meta);
            if rng.random_ratio(4, 5) {
                headers.push(("range", range(&mut rng, *size)));
            }
            let method = if rng.random_ratio(1, 5) { "HEAD" } else { "GET" };
            let response = ask(&mut nginx, method, *size, &headers);
            *seen.entry(response.status).or_default() += 1;
            let (status, content_range, body) = ours(&headers, meta);
            let same_body = !matches!(status, 200 | 206) || method == "HEAD" || body == response.body;
            let same_range = content_range.as_deref() == response.header("content-range");
            if status != response.status || !same_range || !same_body {
                if let Some(row) = DIFFERENCES.iter().position(|(_, covers)| covers(&headers, *size)) {
                    on_purpose[row] += 1;
                    continue;
                }
                let theirs = response.header("content-range");
                wrong.push(format!(
                    "{method} {size} {headers:?}: nginx {} {theirs:?}, we {status} {content_range:?}, same body {same_body}",
                    response.status
                ));
            }
        }
        println!("answers of nginx: {seen:?}");
        assert!(wrong.is_empty(), "{} answers differ from nginx:\n{}", wrong.len(), wrong.join("\n"));
        for ((why, _), count) in DIFFERENCES.iter().zip(on_purpose) {
            assert!(count > 0, "nginx does not differ any more: {why}");
        }
        for (status, least) in [(200, 300), (206, 300), (304, 100), (412, 100), (416, 100)] {
            assert!(seen.get(&status).is_some_and(|count| *count >= least), "too few {status}: {seen:?}");
        }
    }
}
