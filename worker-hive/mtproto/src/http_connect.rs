//! The client's half of HTTP CONNECT (RFC 9110 §9.3.6), with basic authentication (RFC 7617).

use crate::dial::DialError;
use crate::route::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest head that a proxy's answer may have.
const LONGEST_HEAD: usize = 16 * 1024;
/// A route's text is shorter than this, and what base64 makes of it.
const LONGEST_REQUEST: usize = 8 * 1024;
const END: &[u8] = b"\r\n\r\n";
const PROXY_LOGIN_NEEDED: u16 = 407;

/// Has the proxy connect to `target`.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: Option<&Credentials>,
    target: SocketAddr,
) -> Result<(), DialError> {
    // With room for all of it, as what is left behind by growing is not wiped.
    let mut request = Zeroizing::new(String::with_capacity(LONGEST_REQUEST));
    request.push_str(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
    if let Some(credentials) = credentials {
        let (user, password) = (credentials.user.expose_secret(), credentials.password.expose_secret());
        let login = Zeroizing::new(format!("{user}:{password}"));
        request.push_str("Proxy-Authorization: Basic ");
        STANDARD.encode_string(login.as_bytes(), &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(DialError::Proxy)?;
    let head = read_head(stream).await?;
    match status(&head).ok_or(DialError::NoProxy)? {
        200..=299 => Ok(()),
        PROXY_LOGIN_NEEDED => Err(DialError::Denied),
        code => Err(DialError::Refused(code)),
    }
}

/// Reads up to the empty line and not a byte further: what comes after it is the data-centre's.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, DialError> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(END) {
        if head.len() == LONGEST_HEAD || (head.len() > 5 && !head.starts_with(b"HTTP/")) {
            return Err(DialError::NoProxy);
        }
        // A byte at a time: some hundred of them once for a connection, and none can be read that would have to be put back.
        head.push(stream.read_u8().await.map_err(DialError::Proxy)?);
    }
    Ok(head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let version = words.next()?;
    let code = words.next()?;
    (version.starts_with("HTTP/1.") && code.len() == 3).then(|| code.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::connect;
    use crate::route::Credentials;
    use secrecy::SecretString;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_words_are_those_of_the_standard() {
        let plain = "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n";
        let login =
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n";
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(20_000));
        let table = [
            (None, plain, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nafter", "ok"),
            (None, plain, "HTTP/1.0 204\r\n\r\nafter", "ok"),
            (Some(("user", "pa:ss")), login, "HTTP/1.1 200 \r\n\r\nafter", "ok"),
            (Some(("user", "pa:ss")), login, "HTTP/1.1 407 No\r\n\r\n", "proxy-denied"),
            (None, plain, "HTTP/1.1 502 Bad\r\n\r\n", "proxy-refused"),
            (None, plain, "HTTP/1.1 100 Continue\r\n\r\n", "proxy-refused"),
            (None, plain, "SSH-2.0-OpenSSH\r\n", "proxy-strange"),
            (None, plain, "HTTP/2 200\r\n\r\n", "proxy-strange"),
            (None, plain, &long, "proxy-strange"),
            (None, plain, "HTTP/1.1 200 OK\r\n", "proxy"),
        ];
        for (credentials, words, reply, outcome) in table {
            let credentials = credentials.map(|(user, password)| Credentials {
                user: SecretString::from(user),
                password: SecretString::from(password),
            });
            let target = if credentials.is_some() { "[::1]:443" } else { "10.0.0.1:443" }.parse().unwrap();
            let (mut client, mut proxy) = tokio::io::duplex(32 * 1024);
            let asking = async {
                let outcome = connect(&mut client, credentials.as_ref(), target).await;
                if outcome.is_ok() {
                    let mut after = [0; 5];
                    client.read_exact(&mut after).await.unwrap();
                    assert_eq!(&after, b"after", "nothing of what the data-centre says is lost");
                }
                outcome.map_or_else(|error| error.label(), |()| "ok")
            };
            let answering = async {
                let mut said = vec![0; words.len()];
                proxy.read_exact(&mut said).await.unwrap();
                assert_eq!(String::from_utf8(said).unwrap(), words);
                proxy.write_all(reply.as_bytes()).await.unwrap();
                drop(proxy);
            };
            assert_eq!(tokio::join!(asking, answering).0, outcome, "{reply:.40}");
        }
    }
}
