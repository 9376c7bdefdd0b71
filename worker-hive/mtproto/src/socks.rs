//! The client's half of SOCKS version 5 (RFC 1928), with user and password (RFC 1929).

use crate::dial::DialError;
use crate::route::Credentials;
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;

/// Has the proxy connect to `target`. The address goes to the proxy as it is: there is no name in it that anybody could look up.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: Option<&Credentials>,
    target: SocketAddr,
) -> Result<(), DialError> {
    let methods: &[u8] =
        if credentials.is_some() { &[VERSION, 2, NO_LOGIN, PASSWORD] } else { &[VERSION, 1, NO_LOGIN] };
    stream.write_all(methods).await.map_err(DialError::Proxy)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(DialError::Proxy)?;
    match (chosen, credentials) {
        ([VERSION, NO_LOGIN], _) => {}
        ([VERSION, PASSWORD], Some(credentials)) => log_in(stream, credentials).await?,
        ([VERSION, 0xff], _) => return Err(DialError::Denied),
        _ => return Err(DialError::NoProxy),
    }
    let mut request = vec![VERSION, CONNECT, 0];
    match target {
        SocketAddr::V4(target) => {
            request.push(IPV4);
            request.extend(target.ip().octets());
        }
        SocketAddr::V6(target) => {
            request.push(IPV6);
            request.extend(target.ip().octets());
        }
    }
    request.extend(target.port().to_be_bytes());
    stream.write_all(&request).await.map_err(DialError::Proxy)?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await.map_err(DialError::Proxy)?;
    let [VERSION, code, _, kind] = reply else { return Err(DialError::NoProxy) };
    if code != 0 {
        return Err(DialError::Refused(code.into()));
    }
    // Where the proxy connects from is of no interest, but stands before the first byte of the data-centre.
    let rest = match kind {
        IPV4 => 4 + 2,
        IPV6 => 16 + 2,
        NAME => usize::from(stream.read_u8().await.map_err(DialError::Proxy)?) + 2,
        _ => return Err(DialError::NoProxy),
    };
    let mut bound = [0; 255 + 2];
    stream.read_exact(&mut bound[..rest]).await.map_err(DialError::Proxy)?;
    Ok(())
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, credentials: &Credentials) -> Result<(), DialError> {
    // With room for all of it, as what is left behind by growing is not wiped.
    let mut request = Zeroizing::new(Vec::with_capacity(3 + 2 * usize::from(u8::MAX)));
    request.push(LOGIN_VERSION);
    for text in [&credentials.user, &credentials.password] {
        let text = text.expose_secret();
        // The route's text was checked for it.
        request.push(u8::try_from(text.len()).map_err(|_| DialError::Denied)?);
        request.extend(text.as_bytes());
    }
    stream.write_all(&request).await.map_err(DialError::Proxy)?;
    let mut verdict = [0; 2];
    stream.read_exact(&mut verdict).await.map_err(DialError::Proxy)?;
    if verdict[1] == 0 { Ok(()) } else { Err(DialError::Denied) }
}

#[cfg(test)]
mod tests {
    use super::connect;
    use crate::route::Credentials;
    use secrecy::SecretString;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Whether the client has a login, where it wants to go, what it writes, what the proxy says to that, and what comes of it.
    type Row<'a> = (bool, &'a str, Vec<&'a [u8]>, Vec<&'a [u8]>, &'a str);

    #[tokio::test]
    async fn the_words_are_those_of_the_standard() {
        let granted = [5, 0, 0, 1, 127, 0, 0, 1, 4, 5];
        let asked4 = [5, 1, 0, 1, 10, 0, 0, 1, 1, 187];
        let asked6 = [&[5, 1, 0, 4][..], &[0; 15], &[1, 1, 187]].concat();
        let login = [&[1, 4][..], b"user", &[4], b"pass"].concat();
        let by_name = [&[5, 0, 0, 3, 2][..], b"ab", &[0, 1]].concat();
        let table: [Row<'_>; 10] = [
            (false, "10.0.0.1:443", vec![&[5, 1, 0], &asked4], vec![&[5, 0], &granted], "ok"),
            (true, "10.0.0.1:443", vec![&[5, 2, 0, 2], &asked4], vec![&[5, 0], &granted], "ok"),
            (true, "10.0.0.1:443", vec![&[5, 2, 0, 2], &login, &asked4], vec![&[5, 2], &[1, 0], &by_name], "ok"),
            (false, "[::1]:443", vec![&[5, 1, 0], &asked6], vec![&[5, 0], &granted], "ok"),
            (true, "10.0.0.1:443", vec![&[5, 2, 0, 2], &login], vec![&[5, 2], &[1, 1]], "proxy-denied"),
            (false, "10.0.0.1:443", vec![&[5, 1, 0]], vec![&[5, 0xff]], "proxy-denied"),
            (false, "10.0.0.1:443", vec![&[5, 1, 0]], vec![&[5, 2]], "proxy-strange"),
            (false, "10.0.0.1:443", vec![&[5, 1, 0]], vec![b"HTTP/1.1 400"], "proxy-strange"),
            (false, "10.0.0.1:443", vec![&[5, 1, 0], &asked4], vec![&[5, 0], &[5, 4, 0, 1]], "proxy-refused"),
            (false, "10.0.0.1:443", vec![&[5, 1, 0], &asked4], vec![&[5, 0], &[5, 0]], "proxy"),
        ];
        for (login, target, expected, replies, outcome) in table {
            let credentials =
                login.then(|| Credentials { user: SecretString::from("user"), password: SecretString::from("pass") });
            let (mut client, mut proxy) = tokio::io::duplex(1024);
            let target = target.parse().unwrap();
            let asking = tokio::spawn(async move { connect(&mut client, credentials.as_ref(), target).await });
            for (words, reply) in expected.iter().zip(&replies) {
                let mut said = vec![0; words.len()];
                proxy.read_exact(&mut said).await.unwrap();
                assert_eq!(said, *words);
                proxy.write_all(reply).await.unwrap();
            }
            drop(proxy);
            let came = asking.await.unwrap().map_or_else(|error| error.label(), |()| "ok");
            assert_eq!(came, outcome, "{expected:?} {replies:?}");
        }
    }
}
