//! The page that viewers of a suspended tenant see.

use config::gateway::Branding;

/// The page, HTML and text, of a tenant that doesn't serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) html: String,
    pub(crate) text: String,
}

const SENTENCE: &str = "This site is under maintenance.";

/// Writes it. What a tenant says of itself is plain text, and escaped.
pub(crate) fn page(branding: &Branding) -> Page {
    let name = branding.name.as_deref().unwrap_or_default();
    let message = branding.message.as_deref().unwrap_or("Please come back later.");
    let help = branding.support_url.as_deref();
    let title = if name.is_empty() { SENTENCE } else { name };
    let link =
        help.map_or(String::new(), |url| format!("<p><a rel=\"noreferrer\" href=\"{}\">Help</a></p>", escape(url)));
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
         <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:20vh auto;padding:0 1em;text-align:center}}</style>\
         <h1>{title}</h1><p>{SENTENCE}</p><p>{message}</p>{link}</html>\n",
        title = escape(title),
        message = escape(message),
    );
    let mut text = format!("{SENTENCE} {message}\n");
    if let Some(url) = help {
        text.push_str(&format!("Help: {url}\n"));
    }
    Page { html, text }
}

/// Text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::page;
    use config::gateway::Branding;

    #[test]
    fn what_a_tenant_says_is_text() {
        let branding = Branding {
            name: Some("<script>alert(1)</script>".into()),
            message: Some("Back \"soon\" & well".into()),
            support_url: Some("https://example.com/?a=1&b=\"".into()),
        };
        let page = page(&branding);
        assert!(!page.html.contains("<script"));
        assert!(page.html.contains("Back &quot;soon&quot; &amp; well"));
        assert!(page.html.contains("href=\"https://example.com/?a=1&amp;b=&quot;\""));
        assert!(page.text.starts_with("This site is under maintenance. Back \"soon\" & well\n"));
    }
}
