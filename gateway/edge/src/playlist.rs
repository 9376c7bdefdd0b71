//! Playlists that ads plugins rewrite: small texts, read whole, changed, and sent as one.

use crate::clear::Cleared;
use crate::refusal::Refusal;
use cache::Media;
use plugin_host::{Chain, Playlist, PlaylistKind, Request};
use slice::{ByteRange, MediaMeta};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Playlists in memory at once: each is up to a megabyte, read, rewritten, and the result.
static READING: Semaphore = Semaphore::const_new(32);

/// The rewritten text and its content type, `None` if the media is no playlist or nobody changes it.
pub(crate) async fn rewritten(cleared: &Cleared<'_>) -> Result<Option<String>, Refusal> {
    let (Some(ads), Some(request)) = (&cleared.ads, &cleared.permitted.request) else { return Ok(None) };
    let meta = cleared.media.meta();
    if meta.size > u64::from(ads.longest_playlist()) || !may_be_playlist(meta) {
        return Ok(None);
    }
    Box::pin(read_and_rewritten(ads, request, &cleared.media)).await
}

async fn read_and_rewritten(ads: &Chain, request: &Arc<Request>, media: &Media) -> Result<Option<String>, Refusal> {
    let _one_of_few = READING.acquire().await;
    let Some(text) = whole(media).await? else { return Ok(None) };
    let Some(kind) = kind(&text) else { return Ok(None) };
    match ads.playlist(request, kind, &text).await {
        Playlist::Unchanged => Ok(None),
        Playlist::Rewritten(text) => Ok(Some(text)),
        Playlist::Failed { plugin, failure } => Err(Refusal::PluginFailed { plugin, reason: failure.to_string() }),
    }
}

/// By content type, or by file name where Telegram knows no better type.
fn may_be_playlist(meta: &MediaMeta) -> bool {
    let types = ["application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"];
    let xml = ["application/xml", "text/xml"];
    let content_type = meta.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let name = meta.file_name.as_deref().unwrap_or_default().to_ascii_lowercase();
    types.contains(&content_type.as_str())
        || xml.contains(&content_type.as_str())
        || [".m3u8", ".m3u", ".xml"].iter().any(|end| name.ends_with(end))
}

/// What it really is, by its first words (RFC 8216 §4.3.1.1; VAST 4.2 §3.2).
fn kind(text: &str) -> Option<PlaylistKind> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("#EXTM3U") {
        let master = text.lines().any(|line| line.starts_with("#EXT-X-STREAM-INF"));
        return Some(if master { PlaylistKind::HlsMaster } else { PlaylistKind::HlsMedia });
    }
    let head = text.get(..text.floor_char_boundary(1024)).unwrap_or_default();
    (text.starts_with('<') && head.contains("<VAST")).then_some(PlaylistKind::Vast)
}

/// All of a media, `None` if it is no UTF-8.
async fn whole(media: &Media) -> Result<Option<String>, Refusal> {
    let size = media.meta().size;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    if size > 0 {
        let mut reader = media.read(ByteRange { start: 0, end: size });
        while let Some(piece) = reader.next().await? {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::kind;
    use plugin_host::PlaylistKind;

    #[test]
    fn kinds_by_content() {
        for (text, expected) in [
            ("#EXTM3U\n#EXT-X-TARGETDURATION:6\n", Some(PlaylistKind::HlsMedia)),
            ("\u{feff}#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n", Some(PlaylistKind::HlsMaster)),
            ("<?xml version=\"1.0\"?>\n<VAST version=\"4.2\">", Some(PlaylistKind::Vast)),
            ("<?xml version=\"1.0\"?>\n<rss>", None),
            ("VAST", None),
            ("", None),
        ] {
            assert_eq!(kind(text), expected, "{text:?}");
        }
    }
}
