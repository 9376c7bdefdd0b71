//! Paths with parameters: `/v1/tenants/{id}`.

use percent_encoding::percent_decode_str;

/// Values of a template's parameters, by their names.
pub(crate) type Values = Vec<(&'static str, String)>;

/// The names of a template's parameters.
pub(crate) fn names(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('/').filter_map(name)
}

fn name(segment: &'static str) -> Option<&'static str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// What a path's segments stand for, if it is one of this template. An encoded slash is no separator, and an empty value is none.
pub(crate) fn values(template: &'static str, path: &str) -> Option<Values> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut values = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(values),
            (Some(wanted), Some(given)) => match name(wanted) {
                Some(name) => {
                    let value = percent_decode_str(given).decode_utf8().ok().filter(|value| !value.is_empty())?;
                    values.push((name, value.into_owned()));
                }
                None if wanted == given => {}
                None => return None,
            },
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn templates() {
        let one = |value: &str| Some(vec![("id", value.to_owned())]);
        for (template, path, wanted) in [
            ("/v1/a", "/v1/a", Some(vec![])),
            ("/v1/a", "/v1/a/", None),
            ("/v1/a", "/v1/b", None),
            ("/v1/a/{id}", "/v1/a/x", one("x")),
            ("/v1/a/{id}", "/v1/a/x%2Fy%20z", one("x/y z")),
            ("/v1/a/{id}", "/v1/a/", None),
            ("/v1/a/{id}", "/v1/a/%ff", None),
            ("/v1/a/{id}/go", "/v1/a/x/go", one("x")),
            ("/v1/a/{id}/go", "/v1/a/x", None),
        ] {
            assert_eq!(values(template, path), wanted, "{template} {path}");
        }
    }
}
