//! Signing in by a QR code: a token that is shown here and accepted on another device of the account.
//! Source: <https://core.telegram.org/api/qr-login>.
#![expect(clippy::disallowed_methods, reason = "tokens end at a time of the wall clock")]

use crate::login::{Login, Progress};
use crate::login_fault::LoginFault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grammers_tl_types::{enums, functions, types};
use secrecy::{ExposeSecret, SecretString};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// However wrong this machine's clock is, a token is shown for a while, and not for ever.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// A login token on its way to a screen.
#[derive(Debug)]
pub struct LoginToken {
    /// `tg://login?token=…`, for a QR code. Whoever opens it gives their own account away, and nothing of this machine's.
    pub link: SecretString,
    /// How long it may be shown.
    pub valid: Duration,
}

/// What asking for a token comes to.
#[derive(Debug)]
pub enum TokenStep {
    /// Nobody accepted yet: show this one, then [`Login::wait_for_token`], then ask again.
    Show(LoginToken),
    /// The last one was accepted.
    Accepted(Progress),
}

impl Login {
    /// Asks for a token to show, or learns that the one before was accepted.
    ///
    /// # Errors
    /// [`LoginFault`].
    pub async fn token(&mut self) -> Result<TokenStep, LoginFault> {
        let request = functions::auth::ExportLoginToken {
            api_id: self.application.id,
            api_hash: self.application.hash.expose_secret().to_owned(),
            except_ids: Vec::new(),
        };
        let mut answer = self.follow(&request).await;
        // The account may live elsewhere, and the token goes there with us.
        while let Ok(enums::auth::LoginToken::MigrateTo(types::auth::LoginTokenMigrateTo { dc_id, token })) = answer {
            if dc_id == self.line.dc() {
                return Err(LoginFault::Astray);
            }
            self.line.go(dc_id);
            answer = self.follow(&functions::auth::ImportLoginToken { token }).await;
        }
        match answer {
            Ok(enums::auth::LoginToken::Token(token)) => Ok(TokenStep::Show(shown(&token))),
            Ok(enums::auth::LoginToken::Success(success)) => {
                self.entered(Ok(success.authorization)).await.map(TokenStep::Accepted)
            }
            Ok(enums::auth::LoginToken::MigrateTo(_)) => Err(LoginFault::Astray),
            Err(fault) => self.entered(Err(fault)).await.map(TokenStep::Accepted),
        }
    }

    /// Returns when Telegram says that the token was accepted, or when its time is up: then ask for the next one.
    pub async fn wait_for_token(&mut self, token: &LoginToken) {
        self.heard_of_token(token.valid).await;
    }
}

fn shown(token: &types::auth::LoginToken) -> LoginToken {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = Duration::from_secs(u64::try_from(token.expires).unwrap_or(0));
    let link = format!("tg://login?token={}", URL_SAFE_NO_PAD.encode(&token.token));
    LoginToken { link: link.into(), valid: until.saturating_sub(now).clamp(SHORTEST, LONGEST) }
}
