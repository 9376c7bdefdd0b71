//! A live nginx with `secure_link` and a running gateway judge the same links, sent as raw bytes; what they say must be the
//! same. The link crate has its own oracle: this one also has the HTTP layer and the edge's steps in front of the verdict.

#[cfg(test)]
#[path = "../../../gateway/link/tests/links/mod.rs"]
mod links;
#[cfg(test)]
#[path = "../../../gateway/link/tests/nginx/mod.rs"]
mod nginx;
#[cfg(test)]
#[path = "../../../gateway/link/tests/seed/mod.rs"]
mod seed;

#[cfg(test)]
mod tests {
    use crate::links::Links;
    use crate::nginx::{Client, Nginx, Response};
    use crate::seed::seed;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use harness::{Failure, SECRET, Settings, Stack};
    use link::Uri;
    use md5::{Digest, Md5};
    use percent_encoding::percent_decode;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::str;

    const COUNT: usize = 8_000;
    const HOST: &str = "films.test";

    /// One way in which we differ from nginx, which judges where we answer 400; DECISIONS.md argues for each.
    struct Difference {
        what: &'static str,
        covers: fn(target: &[u8], host: &str) -> bool,
        /// Origin, `Host` and [`Judges::link`]'s name of a link that shows it.
        example: (&'static str, &'static str, &'static [u8]),
    }

    const DIFFERENCES: [Difference; 3] = [
        Difference {
            what: "raw bytes that are no UTF-8",
            covers: |target, _| str::from_utf8(target).is_err(),
            example: ("", HOST, b"\xff.mkv"),
        },
        Difference {
            what: "an absolute target for another host than Host's",
            covers: |target, host| authority(target).is_some_and(|authority| authority != host.as_bytes()),
            example: ("http://other.test", HOST, b"a.mkv"),
        },
        Difference {
            what: "an address of a future IP version as host",
            covers: |_, host| host.starts_with("[v"),
            example: ("http://[v1.x]", "[v1.x]", b"a.mkv"),
        },
    ];

    /// Names, perhaps with an argument, over which an HTTP library might stumble. Both sides open them as they stand here.
    const ODD_NAMES: [&str; 7] = [
        "фильм.mkv",
        "\u{80}\u{10ffff}",
        "\"{a}|^\\~",
        "<`>\"",
        "[]!$&'()*+,;=:@",
        "%25%20%01%7f%ff",
        "a?b=`{|}^\\[]фильм?://x",
    ];

    fn path(target: &[u8]) -> &[u8] {
        target.split(|byte| b"?#".contains(byte)).next().unwrap_or_default()
    }

    fn query(target: &[u8]) -> &[u8] {
        let whole = target.split(|byte| *byte == b'#').next().unwrap_or_default();
        &whole[path(target).len()..]
    }

    fn authority(target: &[u8]) -> Option<&[u8]> {
        let colon = path(target).windows(3).position(|three| three == b"://")?;
        (target[0] != b'/').then(|| path(&target[colon + 3..]).split(|byte| *byte == b'/').next())?
    }

    /// Status of a link to a path, by nginx's verdict on it. A path that is no stream is not judged, and there is one film.
    fn status(verdict: u16, path: &[u8], film: &str) -> u16 {
        let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let number =
            |text: &[u8]| str::from_utf8(text).ok()?.parse().ok().filter(|n: &i64| n.to_string().as_bytes() == text);
        let stream = match segments.as_slice() {
            [b"", b"stream", chat, message, name @ ..] => {
                let named = name.len() <= 1 && name.iter().all(|name| !name.is_empty());
                named
                    && number(chat).is_some_and(|id| id != 0)
                    && number(message).is_some_and(|id| i32::try_from(id).is_ok_and(|id| id > 0))
            }
            _ => false,
        };
        let of_film = path.strip_prefix(film.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
        match verdict {
            400 => 400,
            _ if !stream => 404,
            200 if !of_film => 404,
            verdict => verdict,
        }
    }

    /// What the gateway should answer, what it answered, and the difference that explains why nginx thinks otherwise.
    struct Judged {
        nginx: u16,
        expected: u16,
        gateway: u16,
        difference: Option<usize>,
    }

    /// Both sides, and the film that all links are for.
    struct Judges {
        nginx: Client,
        gateway: Client<TcpStream>,
        /// The film's path without a file name: that is every link's own choice.
        film: String,
        now: i64,
        _running: (Stack, Nginx),
    }

    impl Judges {
        async fn start() -> Result<Self, Failure> {
            // Any host, because absolute targets name their own.
            let tenant = format!(
                "[{{ id = \"films\", domains = [\"*\"], link.secrets = [{{ id = \"first\", secret = \"{SECRET}\" }}] }}]"
            );
            let stack = Stack::start(Settings::default().film("a.mkv", 1000).gateway("tenant", &tenant)).await?;
            let mut server = Nginx::start(&[], |folder| {
                format!(
                    "server {{\nlisten unix:{}/links;\nlocation = /clock {{ return 200 \"$msec\"; }}\nlocation / {{\n\
                     secure_link $arg_md5,$arg_expires;\nsecure_link_md5 \"$secure_link_expires$uri {SECRET}\";\n\
                     if ($secure_link = \"\") {{ return 403 \"$uri\"; }}\n\
                     if ($secure_link = \"0\") {{ return 410 \"$uri\"; }}\nreturn 200 \"$uri\";\n}}\n}}\n",
                    folder.display()
                )
            });
            let mut nginx = server.connect("links");
            let clock = String::from_utf8(ask(&mut nginx, b"/clock", HOST).body)?;
            let now = clock.split('.').next().unwrap_or_default().parse()?;
            let film = format!("/stream/{}/{}", stack.chat_id(), stack.film("a.mkv")?.message_id);
            let address = stack.client.address;
            let gateway = Client::new(move || TcpStream::connect(address));
            Ok(Self { nginx, gateway, film, now, _running: (stack, server) })
        }

        /// A right link for an hour. `name` is spelled as it is to be sent, and may have `?` and an argument after it.
        fn link(&self, origin: &str, name: &[u8]) -> Vec<u8> {
            let expires = self.now + 3600;
            let decoded: Vec<u8> = percent_decode(path(name)).collect();
            let signed = hashed(&expires.to_string(), &[self.film.as_bytes(), b"/", &decoded].concat(), b"");
            let joint = if query(name).is_empty() { '?' } else { '&' };
            let arguments = format!("{joint}md5={}&expires={expires}", URL_SAFE_NO_PAD.encode(Md5::digest(signed)));
            [origin.as_bytes(), self.film.as_bytes(), b"/", name, arguments.as_bytes()].concat()
        }

        fn judge(&mut self, target: &[u8], host: &str) -> Judged {
            let difference = DIFFERENCES.iter().position(|difference| (difference.covers)(target, host));
            loop {
                let before = ask(&mut self.nginx, target, host);
                let gateway = ask(&mut self.gateway, target, host).status;
                let after = ask(&mut self.nginx, target, host);
                if before.status != after.status {
                    // The link expired meanwhile. It does so once: the next round is about an expired link.
                    continue;
                }
                let nginx = status(before.status, &before.body, &self.film);
                let expected = if difference.is_some() { 400 } else { nginx };
                return Judged { nginx, expected, gateway, difference };
            }
        }
    }

    fn ask<S: Read + Write>(server: &mut Client<S>, target: &[u8], host: &str) -> Response {
        server.exchange(&[b"GET ", target, b" HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\n\r\n"].concat(), false)
    }

    fn hashed(expires: &str, path: &[u8], _: &[u8]) -> Vec<u8> {
        [expires.as_bytes(), path, b" ", SECRET.as_bytes()].concat()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn verdicts_of_the_gateway_equal_those_of_nginx() -> Result<(), Failure> {
        let mut judges = Judges::start().await?;
        let (film, seed) = (judges.film.clone(), seed());
        let mut links =
            Links { rng: StdRng::seed_from_u64(seed), now: judges.now, template: &hashed, folder: &film, depth: 2 };
        let mut hosts = StdRng::seed_from_u64(!seed);
        let mut agreed: BTreeMap<u16, usize> = BTreeMap::new();
        let mut differed: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for _ in 0..COUNT {
            let target = links.target();
            let named = Uri::parse(&target).ok().and_then(|uri| uri.authority().map(str::to_owned));
            let host = named.filter(|_| hosts.random()).unwrap_or(HOST.to_owned());
            let Judged { nginx, expected, gateway, difference } = judges.judge(&target, &host);
            if gateway != expected {
                let target = target.escape_ascii();
                wrong.push(format!("nginx {nginx}, expected {expected}, gateway {gateway}, Host {host}: {target}"));
            }
            match difference {
                Some(row) if nginx != gateway => *differed.entry(DIFFERENCES[row].what).or_default() += 1,
                _ => *agreed.entry(gateway).or_default() += 1,
            }
        }
        println!("agreed: {agreed:?}\ndiffered: {differed:?}");
        assert!(wrong.is_empty(), "{} verdicts differ from nginx:\n{}", wrong.len(), wrong.join("\n"));
        for (status, least) in [(200, 500), (400, 500), (403, 1_500), (404, 1_000), (410, 400)] {
            assert!(agreed.get(&status).is_some_and(|count| *count >= least), "too few {status}: {agreed:?}");
        }
        Ok(())
    }

    /// Each row at its worst: a right link that only one of the two opens.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_difference_is_still_one() -> Result<(), Failure> {
        let mut judges = Judges::start().await?;
        for (row, Difference { what, example: (origin, host, name), .. }) in DIFFERENCES.iter().enumerate() {
            let judged = judges.judge(&judges.link(origin, name), host);
            assert_eq!((judged.nginx, judged.gateway, judged.difference), (200, 400, Some(row)), "{what}");
        }
        for name in ODD_NAMES {
            let judged = judges.judge(&judges.link("", name.as_bytes()), HOST);
            assert_eq!((judged.nginx, judged.gateway, judged.difference), (200, 200, None), "{name}");
        }
        Ok(())
    }
}
