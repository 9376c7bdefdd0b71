//! A live nginx with `secure_link` judges generated links; our verdict and our `$uri` must be the same.

#[cfg(test)]
mod links;
#[cfg(test)]
mod nginx;
#[cfg(test)]
mod seed;

#[cfg(test)]
mod tests {
    use crate::links::{Links, Template};
    use crate::nginx::{Client, Nginx};
    use crate::seed::seed;
    use link::{LinkKey, LinkRequest, LinkRules, SignRequest, Uri, Verdict, Verifier};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeMap;
    use std::time::UNIX_EPOCH;

    const SECRET: &str = "s3cret";
    /// Covers whatever a template can, under nginx's own names.
    const BOUND: &str = "${secure_link_expires}|$host|$remote_addr|$arg_user|$Document_URI $secret";

    /// Verdicts in which we differ from nginx on purpose: the request target and the reason. There is none.
    const DIFFERENCES: [(&[u8], &str); 0] = [];

    fn verifier(expression: Option<&str>) -> Verifier {
        let mut rules = LinkRules::nginx(vec![LinkKey::new("retired", "other"), LinkKey::new("current", SECRET)]);
        if let Some(expression) = expression {
            rules.schemes[0].expression = expression.to_owned();
        }
        Verifier::new(rules).unwrap()
    }

    fn start() -> Nginx {
        let bound = BOUND.replace("$secret", SECRET);
        Nginx::start(&[], |folder| {
            let server = |socket: &str, expression: &str| {
                format!(
                    "server {{\nlisten unix:{}/{socket};\nlocation / {{\nsecure_link $arg_md5,$arg_expires;\n\
                     secure_link_md5 \"{expression}\";\nif ($secure_link = \"\") {{ return 403 \"$uri\"; }}\n\
                     if ($secure_link = \"0\") {{ return 410 \"$uri\"; }}\nreturn 200 \"$uri\";\n}}\n}}\n",
                    folder.display()
                )
            };
            server("plain", &format!("$secure_link_expires$uri {SECRET}")) + &server("bound", &bound)
        })
    }

    /// Asks nginx: status, the path it saw, and its clock, which it reads once per event and so used for the verdict too.
    fn ask(nginx: &mut Client, target: &[u8], host: &str) -> (u16, Vec<u8>, i64) {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\n\r\n"].concat();
        let response = nginx.exchange(&request, false);
        let date = httpdate::parse_http_date(response.header("date").unwrap()).unwrap();
        let now = date.duration_since(UNIX_EPOCH).unwrap().as_secs();
        (response.status, response.body, i64::try_from(now).unwrap())
    }

    fn judge(verifier: &Verifier, target: &[u8], host: &str, now: i64) -> (u16, Option<Vec<u8>>) {
        let Ok(uri) = Uri::parse(target) else { return (400, None) };
        let request = LinkRequest { uri: &uri, host: Some(host), remote_addr: Some("unix:"), now };
        let status = match verifier.check(&request) {
            Verdict::Valid(_) => 200,
            Verdict::Expired(_) => 410,
            Verdict::Invalid(_) => 403,
        };
        (status, Some(uri.path().to_vec()))
    }

    fn links(now: i64, template: &Template) -> Links<'_> {
        Links { rng: StdRng::seed_from_u64(seed()), now, template, folder: "", depth: 6 }
    }

    /// Compares `count` links and gives back how often nginx said what.
    fn compare(
        nginx: &mut Client,
        verifier: &Verifier,
        links: &mut Links<'_>,
        hosts: &[&str],
        count: usize,
    ) -> BTreeMap<u16, usize> {
        let mut seen = BTreeMap::new();
        let mut wrong = Vec::new();
        for index in 0..count {
            let target = links.target();
            let host = hosts[index % hosts.len()];
            let (status, path, now) = ask(nginx, &target, host);
            *seen.entry(status).or_default() += 1;
            let ours = judge(verifier, &target, host, now);
            let same_path = ours.1.is_none_or(|ours| ours == path);
            let on_purpose = DIFFERENCES.iter().any(|(known, _)| *known == target);
            if (ours.0 != status || !same_path) && !on_purpose {
                wrong.push(format!("nginx {status}, we {}, same path {same_path}: {}", ours.0, target.escape_ascii()));
            }
        }
        assert!(wrong.is_empty(), "{} verdicts differ from nginx:\n{}", wrong.len(), wrong.join("\n"));
        seen
    }

    #[test]
    fn verdicts_equal_those_of_nginx() {
        let mut server = start();
        let mut nginx = server.connect("plain");
        let (_, _, now) = ask(&mut nginx, b"/", "h");
        let template =
            |expires: &str, path: &[u8], _: &[u8]| [expires.as_bytes(), path, b" ", SECRET.as_bytes()].concat();
        let mut links = links(now, &template);
        let seen = compare(&mut nginx, &verifier(None), &mut links, &["h"], 6_000);
        println!("verdicts of nginx: {seen:?}");
        for (status, least) in [(200, 800), (403, 1_000), (410, 400), (400, 400)] {
            assert!(seen.get(&status).is_some_and(|count| *count >= least), "too few {status}: {seen:?}");
        }
    }

    #[test]
    fn verdicts_of_bound_links_equal_those_of_nginx() {
        let mut server = start();
        let mut nginx = server.connect("bound");
        let (_, _, now) = ask(&mut nginx, b"/", "h");
        // The generator signs for this host; others, and absolute targets, must fail alike.
        let template = |expires: &str, path: &[u8], arguments: &[u8]| {
            let user = arguments.strip_prefix(b"user=").or(arguments.strip_prefix(b"USER=")).unwrap_or_default();
            let user = user.split(|byte| *byte == b'&').next().unwrap_or_default();
            [expires.as_bytes(), b"|example.com|unix:|", user, b"|", path, b" ", SECRET.as_bytes()].concat()
        };
        let mut links = links(now, &template);
        let hosts = ["example.com", "EXAMPLE.COM", "example.com.:8080", "Example.com:", "other.example"];
        let seen = compare(&mut nginx, &verifier(Some(BOUND)), &mut links, &hosts, 2_000);
        for (status, least) in [(200, 150), (403, 300), (410, 80), (400, 100)] {
            assert!(seen.get(&status).is_some_and(|count| *count >= least), "too few {status}: {seen:?}");
        }
    }

    #[test]
    fn nginx_opens_what_we_sign() {
        let mut server = start();
        let mut nginx = server.connect("plain");
        let mut rng = StdRng::seed_from_u64(seed());
        let (_, _, now) = ask(&mut nginx, b"/", "h");
        for _ in 0..500 {
            let bytes = |rng: &mut StdRng| -> Vec<u8> {
                (0..rng.random_range(1..12)).map(|_| rng.random_range(1..=255_u8)).filter(|b| *b != b'/').collect()
            };
            let path = [b"/stream/5/x".as_slice(), &bytes(&mut rng), b"/x", &bytes(&mut rng)].concat();
            let request = SignRequest { key_id: Some("current"), ..SignRequest::new(&path, now + 600) };
            let target = verifier(None).sign(&request).unwrap();
            let (status, seen, _) = ask(&mut nginx, target.as_bytes(), "h");
            assert_eq!((status, seen), (200, path), "{target}");
        }
    }
}
