//! Sign-ins under way: codes on their way to a phone, and login tokens on a screen.
//!
//! No clock of its own: whoever asks says what time it is.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::connection::Wire;

/// How long a code is good for.
const CODE_LIFE: Duration = Duration::from_secs(300);
/// Wrong codes after which the right one isn't taken either. Telegram's own number isn't known.
const WRONG_CODES: u32 = 5;
/// The stretch that sent codes are counted over.
const HOUR: Duration = Duration::from_secs(3600);

/// Why a code isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeFault {
    Empty,
    Expired,
    Invalid,
}

impl CodeFault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "PHONE_CODE_EMPTY",
            Self::Expired => "PHONE_CODE_EXPIRED",
            Self::Invalid => "PHONE_CODE_INVALID",
        }
    }
}

struct Code {
    phone: String,
    text: String,
    until: Duration,
    wrong: u32,
}

/// A login token, and the connection that shows it.
pub(crate) struct Token {
    pub(crate) dc: i32,
    pub(crate) key: i64,
    pub(crate) session: i64,
    pub(crate) wire: Wire,
    pub(crate) until: Duration,
    /// The account that accepted it.
    pub(crate) accepted: Option<usize>,
}

/// Everything that was begun and isn't finished.
#[derive(Default)]
pub(crate) struct Logins {
    codes: HashMap<String, Code>,
    sent: HashMap<String, VecDeque<Duration>>,
    tokens: HashMap<Vec<u8>, Token>,
    newest: Option<Vec<u8>>,
}

impl Logins {
    /// Counts a code for `phone`; the seconds to wait when there were `most` within the hour.
    pub(crate) fn count(&mut self, phone: &str, now: Duration, most: u32) -> Result<(), u32> {
        let sent = self.sent.entry(phone.to_owned()).or_default();
        while sent.front().is_some_and(|at| now.saturating_sub(*at) >= HOUR) {
            sent.pop_front();
        }
        match sent.front() {
            Some(first) if sent.len() >= most as usize => {
                let left = HOUR.saturating_sub(now.saturating_sub(*first));
                Err(u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
            }
            _ => {
                sent.push_back(now);
                Ok(())
            }
        }
    }

    /// Sends a code. Earlier ones of the same number are void.
    pub(crate) fn send(&mut self, hash: &str, phone: &str, text: &str, now: Duration) {
        self.codes.retain(|_, code| code.phone != phone);
        let (phone, text) = (phone.to_owned(), text.to_owned());
        self.codes.insert(hash.to_owned(), Code { phone, text, until: now + CODE_LIFE, wrong: 0 });
    }

    /// Whether this is the code that was sent; the right one can be used again until the sign-in is over.
    pub(crate) fn check(
        &mut self,
        hash: &str,
        phone: &str,
        text: Option<&str>,
        now: Duration,
    ) -> Result<(), CodeFault> {
        let code = self.codes.get_mut(hash).filter(|code| code.phone == phone && now < code.until);
        let code = code.filter(|code| code.wrong < WRONG_CODES).ok_or(CodeFault::Expired)?;
        match text {
            None | Some("") => Err(CodeFault::Empty),
            Some(text) if text == code.text => Ok(()),
            Some(_) => {
                code.wrong += 1;
                Err(CodeFault::Invalid)
            }
        }
    }

    /// Takes a code back; `false` when there's none.
    pub(crate) fn cancel(&mut self, hash: &str, phone: &str) -> bool {
        let known = self.codes.get(hash).is_some_and(|code| code.phone == phone);
        known && self.codes.remove(hash).is_some()
    }

    /// Makes every code that was sent expire.
    pub(crate) fn expire_codes(&mut self) {
        self.codes.values_mut().for_each(|code| code.until = Duration::ZERO);
    }

    /// Codes that could still be used.
    pub(crate) fn open_codes(&self, now: Duration) -> usize {
        self.codes.values().filter(|code| now < code.until).count()
    }

    /// Puts a token on a screen.
    pub(crate) fn show(&mut self, bytes: Vec<u8>, token: Token, now: Duration) {
        self.tokens.retain(|_, token| token.accepted.is_some() || now < token.until);
        self.newest = Some(bytes.clone());
        self.tokens.insert(bytes, token);
    }

    /// The token of this key that somebody accepted, and who.
    pub(crate) fn accepted(&self, dc: i32, key: i64) -> Option<(&[u8], usize)> {
        let mine = |(_, token): &(&Vec<u8>, &Token)| token.dc == dc && token.key == key;
        self.tokens.iter().filter(mine).find_map(|(bytes, token)| Some((bytes.as_slice(), token.accepted?)))
    }

    /// Who accepted this token, if anybody did.
    pub(crate) fn accepted_by(&self, bytes: &[u8]) -> Option<usize> {
        self.tokens.get(bytes)?.accepted
    }

    /// Accepts a token in an account's name; the name of Telegram's error if it can't be.
    pub(crate) fn accept(&mut self, bytes: &[u8], account: usize, now: Duration) -> Result<&Token, &'static str> {
        let token = self.tokens.get_mut(bytes).ok_or("AUTH_TOKEN_INVALID")?;
        if token.accepted.is_some() {
            return Err("AUTH_TOKEN_ALREADY_ACCEPTED");
        }
        if now >= token.until {
            return Err("AUTH_TOKEN_EXPIRED");
        }
        token.accepted = Some(account);
        Ok(token)
    }

    /// Takes a token out that has done its work.
    pub(crate) fn remove(&mut self, bytes: &[u8]) {
        self.tokens.remove(bytes);
    }

    /// The token that was shown last.
    pub(crate) fn newest(&self) -> Option<Vec<u8>> {
        self.newest.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{CODE_LIFE, CodeFault, HOUR, Logins};
    use std::time::Duration;

    #[test]
    fn codes_are_for_one_number_and_a_while() {
        let mut logins = Logins::default();
        let now = Duration::from_secs(10);
        logins.send("h", "1", "12345", now);
        assert_eq!(logins.check("h", "1", Some("12345"), now), Ok(()));
        assert_eq!(logins.check("h", "1", Some("1"), now), Err(CodeFault::Invalid));
        assert_eq!(logins.check("h", "1", None, now), Err(CodeFault::Empty));
        assert_eq!(logins.check("h", "2", Some("12345"), now), Err(CodeFault::Expired));
        assert_eq!(logins.check("i", "1", Some("12345"), now), Err(CodeFault::Expired));
        assert_eq!(logins.check("h", "1", Some("12345"), now + CODE_LIFE), Err(CodeFault::Expired));
        logins.send("j", "1", "12345", now);
        assert_eq!(logins.check("h", "1", Some("12345"), now), Err(CodeFault::Expired), "a newer one was sent");
        assert!(!logins.cancel("j", "2") && logins.cancel("j", "1") && !logins.cancel("j", "1"));
        assert_eq!(logins.check("j", "1", Some("12345"), now), Err(CodeFault::Expired));
    }

    #[test]
    fn guessing_ends_with_the_code() {
        let mut logins = Logins::default();
        logins.send("h", "1", "12345", Duration::ZERO);
        for _ in 0..5 {
            assert_eq!(logins.check("h", "1", Some("1"), Duration::ZERO), Err(CodeFault::Invalid));
        }
        assert_eq!(logins.check("h", "1", Some("12345"), Duration::ZERO), Err(CodeFault::Expired));
    }

    #[test]
    fn too_many_codes_are_a_flood_until_the_first_is_an_hour_old() {
        let mut logins = Logins::default();
        let at = Duration::from_secs;
        assert_eq!((logins.count("1", at(0), 2), logins.count("1", at(60), 2)), (Ok(()), Ok(())));
        assert_eq!(logins.count("1", at(100), 2), Err(3500));
        assert_eq!(logins.count("2", at(100), 2), Ok(()), "others aren't affected");
        assert_eq!(logins.count("1", HOUR, 2), Ok(()));
        assert_eq!(logins.count("1", HOUR, 2), Err(60));
    }
}
