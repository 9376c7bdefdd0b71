//! Links that a hostile, a careless or a merely creative client sends, made from a seed.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use link::Uri;
use md5::{Digest, Md5};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

/// Expiry text, path and further arguments in; what is hashed out.
pub(crate) type Template = dyn Fn(&str, &[u8], &[u8]) -> Vec<u8>;

/// Makes request targets whose tokens are right for `template` more often than not.
pub(crate) struct Links<'a> {
    pub(crate) rng: StdRng,
    pub(crate) now: i64,
    /// What to hash.
    pub(crate) template: &'a Template,
    /// What every path starts with, spelled in many ways: `/a/b` or nothing.
    pub(crate) folder: &'a str,
    /// More segments than any path has below its folder.
    pub(crate) depth: usize,
}

impl Links<'_> {
    /// One request target.
    pub(crate) fn target(&mut self) -> Vec<u8> {
        let mut spelled = self.path();
        if self.rng.random_ratio(1, 12) {
            self.corrupt(&mut spelled);
        }
        if self.rng.random_ratio(1, 12) {
            let origin = *ORIGINS.choose(&mut self.rng).unwrap();
            spelled = [origin.as_bytes(), &spelled].concat();
        }
        // What the signer of an honest link hashed. If our idea of the path were wrong, nginx would refuse the link.
        let path = Uri::parse(&spelled).map(|uri| uri.path().to_vec()).unwrap_or_else(|_| spelled.clone());
        let query = self.query(&path);
        let mut target = spelled;
        if self.rng.random_ratio(1, 40) {
            target.extend_from_slice(b"#fragment");
        }
        if self.rng.random_ratio(30, 31) {
            target.push(b'?');
            target.extend_from_slice(&query);
        }
        if self.rng.random_ratio(1, 20) {
            target.extend_from_slice(FRAGMENTS.choose(&mut self.rng).unwrap());
        }
        target
    }

    fn path(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for segment in self.folder.split('/').skip(1) {
            self.slash(&mut out);
            for byte in segment.bytes() {
                self.spell(byte, &mut out);
            }
        }
        for _ in 0..self.rng.random_range(0..self.depth) {
            self.slash(&mut out);
            let mut segment = SEGMENTS.choose(&mut self.rng).unwrap().as_bytes().to_vec();
            if self.rng.random_ratio(1, 6) {
                segment = (0..self.rng.random_range(1..6)).map(|_| self.rng.random_range(1..=255_u8)).collect();
            }
            for byte in segment {
                self.spell(byte, &mut out);
            }
        }
        if out.is_empty() || self.rng.random_ratio(1, 5) {
            self.slash(&mut out);
        }
        if self.rng.random_ratio(1, 12) {
            out.extend_from_slice(
                [b"/.".as_slice(), b"/..", b"/%2e", b"/.%2E", b"/...", b"/.."].choose(&mut self.rng).unwrap(),
            );
        }
        // A target starts with a raw slash, or nginx takes it for a scheme.
        if out.first() == Some(&b'%') {
            out.insert(0, b'/');
        }
        out
    }

    fn slash(&mut self, out: &mut Vec<u8>) {
        let spelling = if self.rng.random_ratio(3, 5) { "/" } else { SLASHES.choose(&mut self.rng).unwrap() };
        out.extend_from_slice(spelling.as_bytes());
    }

    fn spell(&mut self, byte: u8, out: &mut Vec<u8>) {
        let must = byte <= b' ' || byte == 0x7f || b"%?#".contains(&byte);
        if must || self.rng.random_ratio(1, 8) {
            let escape = if self.rng.random() { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
            out.extend_from_slice(escape.as_bytes());
        } else {
            out.push(byte);
        }
    }

    fn corrupt(&mut self, path: &mut Vec<u8>) {
        let bad = *CORRUPTIONS.choose(&mut self.rng).unwrap();
        let at = self.rng.random_range(1..=path.len());
        path.splice(at..at, bad.iter().copied());
    }

    fn query(&mut self, path: &[u8]) -> Vec<u8> {
        let expires = self.expires();
        let extra = ["user=7", "user=%41&x=1", "x=md5=1", "&", "xmd5=1", "md5", "expires", "m%645=1", "USER=a;md5=2"];
        let mut arguments: Vec<Vec<u8>> = Vec::new();
        if self.rng.random_ratio(1, 4) {
            arguments.push(extra.choose(&mut self.rng).unwrap().as_bytes().to_vec());
        }
        let user = arguments.concat();
        let token = self.token(&expires, path, &user);
        let md5 = *["md5", "md5", "md5", "md5", "MD5", "mD5"].choose(&mut self.rng).unwrap();
        let name = *["expires", "expires", "expires", "Expires", "EXPIRES"].choose(&mut self.rng).unwrap();
        arguments.push([md5.as_bytes(), b"=", &token].concat());
        arguments.push([name.as_bytes(), b"=", expires.as_bytes()].concat());
        match self.rng.random_range(0..24) {
            0 => arguments.push(b"md5=AAAAAAAAAAAAAAAAAAAAAA".to_vec()),
            1 => arguments.insert(0, b"Md5=AAAAAAAAAAAAAAAAAAAAAA".to_vec()),
            2 => arguments.push(b"expires=9999999999".to_vec()),
            3 => arguments.insert(0, b"expires=9999999999".to_vec()),
            4 => arguments.insert(0, b"md5=".to_vec()),
            5 => {
                arguments.pop();
            }
            6 => arguments.retain(|argument| !argument.to_ascii_lowercase().starts_with(b"md5=")),
            7..=14 => arguments.shuffle(&mut self.rng),
            _ => {}
        }
        let joint: &[u8] = match self.rng.random_range(0..30) {
            0 => b"&&",
            1 => b";",
            2 => b"&amp;",
            _ => b"&",
        };
        arguments.join(joint)
    }

    fn expires(&mut self) -> String {
        let now = self.now;
        match self.rng.random_range(0..40) {
            0..=9 => (now + self.rng.random_range(60..1_000_000)).to_string(),
            10..=19 => (now - self.rng.random_range(60..1_000_000)).to_string(),
            20..=23 => (now + self.rng.random_range(-2..=2)).to_string(),
            24 => format!("000{}", now + 60),
            25 => format!("{:0>80}", now - 60),
            26 => i64::MAX.to_string(),
            27 => (i64::MAX as u64 + 1).to_string(),
            28 => u64::MAX.to_string(),
            29 => format!("{}0000000000000000000000", now),
            30 => "1".to_owned(),
            31 => ["0", "00", "", "-1", "-0"].choose(&mut self.rng).unwrap().to_string(),
            32 => format!("+{}", now + 60),
            33 => format!("{}x", now + 60),
            34 => format!("{},5", now + 60),
            35 => format!("%3{}", now + 60),
            36 => format!("{}.5", now + 60),
            37 => format!("0x{:x}", now + 60),
            _ => (now + 3_600).to_string(),
        }
    }

    fn token(&mut self, expires: &str, path: &[u8], arguments: &[u8]) -> Vec<u8> {
        let mut hash: [u8; 16] = Md5::digest((self.template)(expires, path, arguments)).into();
        let kind = self.rng.random_range(0..40);
        if kind == 0 {
            hash[self.rng.random_range(0..16)] ^= 1 << self.rng.random_range(0..8);
        }
        if kind == 1 {
            self.rng.fill_bytes(&mut hash);
        }
        let padded = URL_SAFE.encode(hash);
        let token = padded.trim_end_matches('=').to_owned();
        match kind {
            2 | 3 => padded,
            4 => format!("{token}="),
            5 => format!("{token}==="),
            6 => format!("{token}=x"),
            7 => format!("{token}=,"),
            8 => format!("{token}=+"),
            9 => format!("{token}%3D%3D"),
            10 => STANDARD.encode(hash),
            11 => STANDARD.encode(hash).trim_end_matches('=').to_owned(),
            12 => token[..self.rng.random_range(0..22)].to_owned(),
            13 => format!("{token}{}", ["A", "AA", "AAA", "x=", ",", "%20"].choose(&mut self.rng).unwrap()),
            14 | 15 => {
                // Another last character with the same two bits that count.
                let last = ALPHABET.find(token.chars().last().unwrap()).unwrap() & 0x30;
                let last = last | self.rng.random_range(0..16_usize);
                format!("{}{}", &token[..21], &ALPHABET[last..=last])
            }
            16 => token.to_ascii_uppercase(),
            17 => format!("={token}"),
            18 => format!("{token},{}", self.now + 60),
            19 => hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            20 => token.repeat(self.rng.random_range(2..100)),
            _ => token,
        }
        .into_bytes()
    }
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const SEGMENTS: [&str; 20] = [
    "stream",
    "v",
    "-1001234567890",
    "42",
    "7",
    "Film one.mp4",
    "a+b",
    "100%",
    "фильм",
    "..x",
    ".hidden",
    "x..",
    "...",
    "%2e%2e",
    "a?b",
    "a#b",
    "a&b=c",
    "md5=1",
    "~;,!$'()*@:",
    "\u{7f}\u{1}\\",
];

const SLASHES: [&str; 16] = [
    "//",
    "///",
    "%2F",
    "%2f",
    "/./",
    "/%2e/",
    "/.//",
    "/x/../",
    "/x/%2E%2e/",
    "/x/.%2e%2F",
    "/x//../",
    "/x/y/../../",
    "/%78/..//",
    "%2F%2F",
    "/+/../",
    "/../",
];

const ORIGINS: [&str; 20] = [
    "http://example.com",
    "HTTP://EXAMPLE.com.",
    "http://example.com:8080",
    "https://example.com:",
    "http://[::1]:80",
    "ws://a-b.c",
    "a+b.c-1://h",
    "http://",
    "http://.",
    "http://a..b",
    "http://user@h",
    "http://h_h",
    "http://h:x",
    "http:/h",
    "1http://h",
    "http:h",
    "://h",
    "h",
    "http://[::1",
    "http://[v1.x~!]",
];

const FRAGMENTS: [&[u8]; 6] = [b"#", b"#t=10", b"#&md5=x", b"#?md5=x", b"#%00", b"#/../.."];

const CORRUPTIONS: [&[u8]; 22] = [
    b"%",
    b"%4",
    b"%zz",
    b"%4g",
    b"%00",
    b"%0",
    b"%%",
    b" x",
    b"\t",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff\xfe",
    b"#",
    b"?",
    b"?#",
    b"/../../../../../../../../../..",
    b"/%2e%2e/%2e%2e/..%2f../../../../../..",
    b"+",
    b"\\",
    b"%u0041",
    b"\0",
];
