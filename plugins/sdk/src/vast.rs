//! VAST responses (IAB, 3.0 and later): where further ads go.

use crate::Edits;
use alloc::{format, string::String};

/// A VAST response to which ads of a pod can be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdPods {
    /// Where the first ad without a place in the pod could be given one.
    unplaced: Option<usize>,
    /// Highest place in the pod so far; 0 if there is no pod.
    last: u32,
    /// Ads in the response.
    ads: usize,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// First byte of `</VAST>`.
    Tag(usize),
    /// The `/>` of an empty response, which has to be opened.
    Empty(usize),
}

impl AdPods {
    /// Finds the places; `None` if the text is no VAST of version 3 or later (2 knows no pods).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut unplaced, mut last, mut ads, mut root) = (None, 0, 0, false);
        for tag in Tags(text, 0) {
            match tag.name() {
                "VAST" if !root => {
                    let version = tag.attribute("version")?;
                    let major: u32 = version.split('.').next()?.trim().parse().ok()?;
                    if major < 3 {
                        return None;
                    }
                    root = true;
                    if tag.text.ends_with("/>") {
                        let end = End::Empty(tag.start + tag.text.len() - "/>".len());
                        return Some(Self { unplaced, last, ads, end });
                    }
                }
                "/VAST" if root => return Some(Self { unplaced, last, ads, end: End::Tag(tag.start) }),
                "Ad" if root => {
                    ads += 1;
                    match tag.attribute("sequence").and_then(|place| place.trim().parse().ok()) {
                        Some(place) => last = last.max(place),
                        None => unplaced = unplaced.or(Some(tag.start + "<Ad".len())),
                    }
                }
                _ if root => {}
                // Another document, that may hold a VAST somewhere inside.
                _ => return None,
            }
        }
        None
    }

    /// Ads in the response.
    #[must_use]
    pub fn ads(&self) -> usize {
        self.ads
    }

    /// Adds ads to the end of the pod, each the content of an `<Ad>` (an `<InLine>` or a `<Wrapper>`). If there is no pod, the
    /// response's first ad becomes its beginning; its others stay what players fall back to.
    pub fn add(&self, contents: impl IntoIterator<Item = String>, edits: &mut Edits) {
        let mut place = self.last;
        let mut text = String::new();
        for content in contents {
            if let (0, Some(at)) = (place, self.unplaced) {
                edits.insert(at, " sequence=\"1\"");
                place = 1;
            }
            place = place.saturating_add(1);
            text.push_str(&format!("<Ad id=\"pod-{place}\" sequence=\"{place}\">{content}</Ad>"));
        }
        if text.is_empty() {
            return;
        }
        match self.end {
            End::Tag(at) => edits.insert(at, text),
            End::Empty(at) => edits.replace(at, at + "/>".len(), format!(">{text}</VAST>")),
        }
    }

    /// A `<Wrapper>` for [`AdPods::add`]: the player asks this address for the ad. Quotes and brackets in it are kept safe.
    #[must_use]
    pub fn wrapper(system: &str, address: &str) -> String {
        // The only text that ends a CDATA section.
        let address = address.replace("]]>", "%5D%5D%3E");
        let system = system.replace('&', "&amp;").replace('<', "&lt;");
        format!(
            "<Wrapper><AdSystem>{system}</AdSystem><VASTAdTagURI><![CDATA[{address}]]></VASTAdTagURI>\
             <Impression><![CDATA[about:blank]]></Impression></Wrapper>"
        )
    }
}

/// The tags of an XML text, without what only looks like one: comments, CDATA, declarations.
struct Tags<'text>(&'text str, usize);

struct Tag<'text> {
    start: usize,
    /// From `<` to `>`.
    text: &'text str,
}

impl<'text> Iterator for Tags<'text> {
    type Item = Tag<'text>;

    fn next(&mut self) -> Option<Tag<'text>> {
        loop {
            let start = self.1 + self.0.get(self.1..)?.find('<')?;
            let rest = &self.0[start..];
            let (skipped, end) = if rest.starts_with("<!--") {
                (true, "-->")
            } else if rest.starts_with("<![CDATA[") {
                (true, "]]>")
            } else if rest.starts_with("<?") {
                (true, "?>")
            } else {
                (rest.starts_with("<!"), ">")
            };
            let length = if end == ">" { length(rest)? } else { rest.find(end)? + end.len() };
            self.1 = start + length;
            if !skipped {
                return Some(Tag { start, text: &rest[..length] });
            }
        }
    }
}

/// Length of a tag; a `>` in an attribute's value doesn't end it.
fn length(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some(at + 1),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

impl<'text> Tag<'text> {
    fn name(&self) -> &'text str {
        let inner = self.text[1..].trim_end_matches(['/', '>']);
        inner.split(|character: char| character.is_whitespace()).next().unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Option<&'text str> {
        let mut rest = self.text.get(1 + self.name().len()..)?;
        loop {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            let (value, next) = after[1..].split_once(quote)?;
            if key.trim() == name {
                return Some(value);
            }
            rest = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AdPods;
    use crate::Edits;

    fn add(text: &str, contents: &[&str]) -> Option<String> {
        let mut edits = Edits::none();
        AdPods::parse(text)?.add(contents.iter().map(ToString::to_string), &mut edits);
        edits.apply(text)
    }

    #[test]
    fn ads_go_to_the_end_of_the_pod() {
        let cases = [
            ("<VAST version=\"4.0\"></VAST>", "<VAST version=\"4.0\">@1@2</VAST>"),
            ("<VAST version='3.0' />", "<VAST version='3.0' >@1@2</VAST>"),
            (
                "<?xml version=\"1.0\"?><!-- </VAST> --><VAST version=\"3.0\"><Ad id=\"a>b\"><AdSystem/></Ad></VAST>",
                "<?xml version=\"1.0\"?><!-- </VAST> --><VAST version=\"3.0\"><Ad sequence=\"1\" id=\"a>b\"><AdSystem/></Ad>@2@3</VAST>",
            ),
            (
                "<VAST version=\"3.0\"><Ad sequence=\"4\"><![CDATA[</VAST><Ad sequence=\"9\">]]></Ad><Ad></Ad></VAST>\n",
                "<VAST version=\"3.0\"><Ad sequence=\"4\"><![CDATA[</VAST><Ad sequence=\"9\">]]></Ad><Ad></Ad>@5@6</VAST>\n",
            ),
        ];
        for (text, wanted) in cases {
            let ad = |place: u32, content: &str| format!("<Ad id=\"pod-{place}\" sequence=\"{place}\">{content}</Ad>");
            let wanted = wanted.replace("@1@2", &(ad(1, "x") + &ad(2, "y")));
            let wanted = wanted.replace("@2@3", &(ad(2, "x") + &ad(3, "y")));
            let wanted = wanted.replace("@5@6", &(ad(5, "x") + &ad(6, "y")));
            assert_eq!(add(text, &["x", "y"]).as_deref(), Some(wanted.as_str()), "{text}");
        }
        assert_eq!(
            add("<VAST version=\"3.0\"><Ad/></VAST>", &[]).as_deref(),
            Some("<VAST version=\"3.0\"><Ad/></VAST>")
        );
    }

    #[test]
    fn what_is_no_response_with_pods_is_left() {
        for text in [
            "",
            "<VAST version=\"2.0\"></VAST>",
            "<VAST></VAST>",
            "<VAST version=\"3.0\"><Ad>",
            "<VAST version=\"3.0",
            "<vmap:VMAP><VAST version=\"3.0\"></VAST></vmap:VMAP>",
            "<!-- <VAST version=\"3.0\"></VAST>",
        ] {
            assert_eq!(AdPods::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_wrapper_can_t_be_broken_out_of() {
        let wrapper = AdPods::wrapper("a<b&c", "https://ads.example/?a=1&b=]]><x>");
        assert!(wrapper.contains("<AdSystem>a&lt;b&amp;c</AdSystem>"));
        assert!(wrapper.contains("<![CDATA[https://ads.example/?a=1&b=%5D%5D%3E<x>]]>"));
    }
}
