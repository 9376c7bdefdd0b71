//! What the headers of a media's answers say, whoever asks for which part of it: written out once for each description.

use crate::refusal::Refusal;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_cache::sync::Cache;
use slice::MediaMeta;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Descriptions whose labels are kept.
const KEPT: usize = 4096;

/// RFC 8187 `attr-char`: what may stand unescaped in `filename*`.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// 9999-12-31T23:59:59Z, the last date that IMF-fixdate can say.
const MAX_DATE: u64 = 253_402_300_799;

/// Values of headers.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) etag: HeaderValue,
    pub(crate) last_modified: Option<HeaderValue>,
    pub(crate) content_type: HeaderValue,
    pub(crate) disposition: HeaderValue,
}

/// Labels of descriptions, by where these lie in memory: an entry holds its description, so no other can lie there.
pub(crate) struct Labelled {
    kept: Cache<usize, Arc<(Arc<MediaMeta>, Labels)>>,
}

impl Labelled {
    pub(crate) fn new() -> Self {
        Self { kept: Cache::new(KEPT) }
    }

    /// The labels of a description.
    ///
    /// # Errors
    /// [`Refusal::Internal`] if something of it can't stand in a header.
    pub(crate) fn of(&self, meta: &Arc<MediaMeta>) -> Result<Arc<(Arc<MediaMeta>, Labels)>, Refusal> {
        let place = Arc::as_ptr(meta).addr();
        if let Some(known) = self.kept.get(&place) {
            return Ok(known);
        }
        let made = Arc::new((meta.clone(), Labels::new(meta)?));
        self.kept.insert(place, made.clone());
        Ok(made)
    }
}

impl Labels {
    pub(crate) fn new(meta: &MediaMeta) -> Result<Self, Refusal> {
        let date = |seconds: u64| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(MAX_DATE)));
        let shown = if plays_inline(&meta.content_type) { "inline" } else { "attachment" };
        let disposition = match &meta.file_name {
            Some(name) => format!("{shown}; filename*=UTF-8''{}", utf8_percent_encode(name, ATTR_CHAR)),
            None => shown.to_owned(),
        };
        Ok(Self {
            etag: value(&format!("\"{}\"", meta.etag.as_str()))?,
            last_modified: meta.last_modified.map(|seconds| value(&date(seconds))).transpose()?,
            content_type: value(&meta.content_type)?,
            disposition: value(&disposition)?,
        })
    }
}

/// A text of the media's as a header has it.
pub(crate) fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(text).map_err(|_| Refusal::Internal("a header of the media can't be written"))
}

/// Whoever uploads a file chooses its type. A page or a script must not run under a tenant's domain, so only what plays
/// or shows is shown in place.
fn plays_inline(content_type: &str) -> bool {
    // Browsers take the last element of a list.
    if content_type.contains(',') {
        return false;
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.split_once('/') {
        Some(("video" | "audio", _)) => true,
        Some(("image", kind)) => !kind.contains("svg") && !kind.contains("xml"),
        _ => matches!(essence.as_str(), "text/plain" | "text/vtt" | "application/x-subrip" | "application/pdf"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Labelled, Labels, plays_inline};
    use slice::{ETag, MediaMeta};
    use std::sync::Arc;

    /// A film whose name needs both spellings.
    pub(crate) fn meta() -> MediaMeta {
        MediaMeta {
            etag: ETag::new("v1"),
            size: 10,
            content_type: "video/mp4".into(),
            last_modified: Some(0),
            file_name: Some("Ö 1.mp4".into()),
            spans: None,
        }
    }

    #[test]
    fn each_description_has_labels_of_its_own() {
        let labelled = Labelled::new();
        for round in 0..10_000 {
            let meta = Arc::new(MediaMeta { etag: ETag::new(&format!("v{round}")), ..meta() });
            for _ in 0..2 {
                assert_eq!(labelled.of(&meta).unwrap().1.etag, format!("\"v{round}\""));
            }
        }
    }

    #[test]
    fn what_could_run_is_downloaded() {
        for good in ["video/mp4", "Audio/mpeg", "image/png", "text/vtt; charset=utf-8"] {
            assert!(plays_inline(good), "{good}");
        }
        for bad in [
            "text/html",
            "image/svg+xml",
            "application/javascript",
            "application/octet-stream",
            "",
            "video",
            "video/mp4,text/html",
        ] {
            assert!(!plays_inline(bad), "{bad}");
        }
        let page = MediaMeta { content_type: "text/html".into(), ..meta() };
        assert_eq!(Labels::new(&page).unwrap().disposition, "attachment; filename*=UTF-8''%C3%96%201.mp4");
        assert_eq!(Labels::new(&meta()).unwrap().last_modified.unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
