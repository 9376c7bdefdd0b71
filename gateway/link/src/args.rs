//! Arguments of the query as nginx's `$arg_NAME` sees them: raw text, `&` between them, nothing decoded.

/// The value of the first argument called `name`, in any case, up to the next `&`.
///
/// An argument without `=` is no match, nor is one whose name only ends in `name`. The value may be empty. Nothing is
/// decoded: what the signer hashed is what arrives here.
pub(crate) fn arg<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, rest) = pair.split_at_checked(name.len())?;
        let (equals, value) = rest.split_first()?;
        (key.eq_ignore_ascii_case(name) && *equals == b'=').then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::arg;

    #[test]
    fn finds_what_nginx_finds() {
        let cases: &[(&str, Option<&str>)] = &[
            ("", None),
            ("md5", None),
            ("md5=", Some("")),
            ("md5=a", Some("a")),
            ("MD5=a&md5=b", Some("a")),
            ("md5&md5=b", Some("b")),
            ("xmd5=a", None),
            ("xmd5=md5=a", None),
            ("x=md5=a&md5=c", Some("c")),
            ("&&md5=a&", Some("a")),
            ("x=1;md5=a", None),
            ("md5=a=b;c%3D", Some("a=b;c%3D")),
            ("m%645=a", None),
            ("?md5=a", None),
        ];
        for (query, value) in cases {
            assert_eq!(arg(query.as_bytes(), b"md5"), value.map(str::as_bytes), "{query}");
        }
    }
}
