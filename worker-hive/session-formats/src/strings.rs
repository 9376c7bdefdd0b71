//! Session strings. All numbers are big-endian, all text is base64 of the URL alphabet.
//!
//! | format | bytes | fields |
//! | --- | --- | --- |
//! | Pyrogram, 32 bits | 263 | data-centre 1, test mode 1, key 256, account 4, bot 1 |
//! | Pyrogram, 64 bits | 267 | data-centre 1, test mode 1, key 256, account 8, bot 1 |
//! | Pyrogram 2, Pyrofork, Kurigram | 271 | data-centre 1, application 4, test mode 1, key 256, account 8, bot 1 |
//! | Telethon | 263 or 275 | data-centre 1, address 4 or 16, port 2, key 256; the character `1` in front of the text |
//!
//! Pyrogram leaves out the padding, Telethon has it. Without it all five have different lengths.

use crate::centres;
use crate::error::{FormatError, MissingField};
use crate::session::{AuthKey, Format, PortableSession};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Telethon's only version so far.
const TELETHON: char = '1';

/// Telegram's ids of accounts have at most 52 bits: <https://core.telegram.org/api/peers>.
const MOST_USER_ID: i64 = (1 << 52) - 1;

/// Reads a session string of any known format. Whitespace around it, and padding at its end, don't matter.
///
/// # Errors
/// [`FormatError`].
pub fn read_string(text: &str) -> Result<PortableSession, FormatError> {
    let text = text.trim().trim_end_matches('=');
    let (format, body) = match text.len() {
        351 => (Format::PyrogramString32, text),
        356 => (Format::PyrogramString64, text),
        362 => (Format::PyrogramString, text),
        352 | 368 => (Format::TelethonString, text.strip_prefix(TELETHON).ok_or(FormatError::UnknownString)?),
        _ => return Err(FormatError::UnknownString),
    };
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| FormatError::UnknownString)?);
    let mut reader = Reader { format, rest: &bytes };
    match format {
        Format::TelethonString => telethon(&mut reader),
        _ => pyrogram(&mut reader),
    }
}

/// Writes the string that Pyrogram 2, Pyrofork and Kurigram take.
///
/// # Errors
/// [`MissingField`] when the account's id, its kind or the application's id is unknown.
pub fn write_pyrogram(session: &PortableSession) -> Result<SecretString, MissingField> {
    let api_id = session.api_id.and_then(|id| u32::try_from(id).ok()).ok_or(MissingField("application id"))?;
    let user_id = session.user_id.and_then(|id| u64::try_from(id).ok()).ok_or(MissingField("account id"))?;
    let bot = session.bot.ok_or(MissingField("kind, bot or user,"))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(271));
    bytes.push(session.home_dc);
    bytes.extend_from_slice(&api_id.to_be_bytes());
    bytes.push(u8::from(session.test_mode));
    bytes.extend_from_slice(session.auth_key.expose());
    bytes.extend_from_slice(&user_id.to_be_bytes());
    bytes.push(u8::from(bot));
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(&*bytes)))
}

/// Writes the string that Telethon's `StringSession` takes. It carries neither the account's id nor its kind.
///
/// # Errors
/// [`MissingField`] when nobody knows where the home data-centre is.
pub fn write_telethon(session: &PortableSession) -> Result<SecretString, MissingField> {
    let address = session
        .address
        .or_else(|| centres::address(session.home_dc, session.test_mode))
        .ok_or(MissingField("home data-centre's address"))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(275));
    bytes.push(session.home_dc);
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
    bytes.extend_from_slice(&address.port().to_be_bytes());
    bytes.extend_from_slice(session.auth_key.expose());
    let mut text = String::with_capacity(369);
    text.push(TELETHON);
    URL_SAFE.encode_string(&*bytes, &mut text);
    Ok(SecretString::from(text))
}

fn pyrogram(reader: &mut Reader<'_>) -> Result<PortableSession, FormatError> {
    let format = reader.format;
    let home_dc = reader.data_centre()?;
    let api_id = match format {
        Format::PyrogramString => {
            i32::try_from(u32::from_be_bytes(reader.take()?)).map_err(|_| reader.damaged("an application id"))?
        }
        _ => 0,
    };
    let test_mode = reader.flag()?;
    let auth_key = reader.key()?;
    let user_id = match format {
        Format::PyrogramString32 => u64::from(u32::from_be_bytes(reader.take()?)),
        _ => u64::from_be_bytes(reader.take()?),
    };
    // There is no checksum: a string cut to the length of another layout shows by an id that nobody can have.
    let (least, most) = match format {
        Format::PyrogramString32 => (1, i64::from(i32::MAX)),
        Format::PyrogramString64 => (1, MOST_USER_ID),
        _ => (0, MOST_USER_ID),
    };
    let user_id = i64::try_from(user_id).ok().filter(|id| (least..=most).contains(id));
    let user_id = user_id.ok_or_else(|| reader.damaged("an account id"))?;
    let bot = reader.flag()?;
    reader.end()?;
    Ok(PortableSession {
        format: Some(format),
        test_mode,
        // 0 is what converters write that don't know.
        api_id: Some(api_id).filter(|id| *id != 0),
        user_id: Some(user_id).filter(|id| *id != 0),
        bot: Some(bot).filter(|bot| *bot || user_id != 0),
        ..PortableSession::new(home_dc, auth_key)
    })
}

fn telethon(reader: &mut Reader<'_>) -> Result<PortableSession, FormatError> {
    let home_dc = reader.data_centre()?;
    let ip = if reader.rest.len() == 4 + 2 + 256 {
        IpAddr::V4(Ipv4Addr::from(reader.take::<4>()?))
    } else {
        IpAddr::V6(Ipv6Addr::from(reader.take::<16>()?))
    };
    let port = u16::from_be_bytes(reader.take()?);
    let auth_key = reader.key()?;
    reader.end()?;
    if port == 0 || ip.is_unspecified() {
        return Err(reader.damaged("the data-centre's address"));
    }
    let address = SocketAddr::new(ip, port);
    Ok(PortableSession {
        format: Some(reader.format),
        address: Some(address),
        test_mode: centres::is_test(&address),
        ..PortableSession::new(home_dc, auth_key)
    })
}

struct Reader<'a> {
    format: Format,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn damaged(&self, what: &'static str) -> FormatError {
        FormatError::Damaged { format: self.format, what }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(FormatError::UnknownString)?;
        self.rest = rest;
        Ok(*head)
    }

    fn data_centre(&mut self) -> Result<u8, FormatError> {
        let [dc] = self.take()?;
        if dc == 0 { Err(self.damaged("its data-centre is 0")) } else { Ok(dc) }
    }

    /// Clients write 0 or 1: anything else is a string whose bytes have moved.
    fn flag(&mut self) -> Result<bool, FormatError> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.damaged("a flag that is neither yes nor no")),
        }
    }

    fn key(&mut self) -> Result<AuthKey, FormatError> {
        let bytes = Zeroizing::new(self.take::<256>()?);
        AuthKey::new(&*bytes).ok_or(FormatError::NotSignedIn(self.format))
    }

    fn end(&self) -> Result<(), FormatError> {
        if self.rest.is_empty() { Ok(()) } else { Err(FormatError::UnknownString) }
    }
}
