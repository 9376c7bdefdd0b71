use alloc::{format, string::String};
use streamvault_sdk::{Request, config};

/// Which files are heavy.
#[derive(Debug)]
pub(crate) struct Heavy {
    bytes: u64,
    types: &'static [String],
}

impl Heavy {
    pub(crate) fn load() -> Result<Self, String> {
        let types = config::texts("heavy_types");
        if let Some(wrong) = types.iter().find(|wanted| wanted.split_once('/').is_none_or(|(kind, _)| kind.is_empty()))
        {
            return Err(format!("heavy_types: `{wrong}` is neither like `video/mp4` nor like `video/*`"));
        }
        let bytes = config::integer("heavy_bytes").and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        Ok(Self { bytes, types })
    }

    /// A file of unknown size is none: playlists and images are asked about too, and a gate in their place would break pages.
    pub(crate) fn is(&self, request: &Request) -> bool {
        request.size().is_some_and(|size| size >= self.bytes)
            && (self.types.is_empty() || request.content_type().is_some_and(|kind| self.names(&kind)))
    }

    fn names(&self, content_type: &str) -> bool {
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        self.types.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(kind) => content_type.get(..kind.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(kind)),
            None => content_type.eq_ignore_ascii_case(wanted),
        })
    }
}
