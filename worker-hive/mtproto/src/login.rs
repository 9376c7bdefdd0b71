//! Signing in: from nothing to an authorized session.
//!
//! Nothing is kept on disk here. Whoever asks the questions drives the steps, and gets a [`SessionSeed`] once all have succeeded; until
//! then [`Login::abandon`] takes back what was begun.

use crate::config::ClientConfig;
use crate::fault::CallFault;
use crate::login_fault::LoginFault;
use crate::login_line::LoginLine;
use crate::login_password::prove;
use crate::seed::SessionSeed;
use grammers_tl_types::{RemoteCall, enums, functions, types};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where a sign-in begins: Telegram sends it on to the account's own data-centre.
pub const FIRST_DC: i32 = 2;

/// Data-centres that one call may be sent on to.
const MOST_HOPS: usize = 3;
/// Telegram's answer when code or token were right and the account has a password.
const PASSWORD_NEEDED: &str = "SESSION_PASSWORD_NEEDED";

/// The application that signs in, from my.telegram.org/apps.
#[derive(Clone)]
pub struct Application {
    /// Its id.
    pub id: i32,
    /// Its hash.
    pub hash: SecretString,
}

/// How a code comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeWay {
    /// As a message in the account's other Telegram apps.
    App,
    /// As a text message.
    Sms,
    /// Spoken on the phone.
    Call,
    /// As the last digits of the number of a missed call that begins with this.
    MissedCall(String),
    /// By mail to an address like this.
    Email(String),
    /// As text on a page of Fragment.
    Fragment(String),
}

/// A code is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeSent {
    /// How it comes.
    pub way: CodeWay,
    /// Its digits, where it has a known number of them.
    pub length: Option<usize>,
    /// Whether it can be sent in another way.
    pub again: bool,
}

/// How far a sign-in has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All is done but [`Login::finish`].
    SignedIn,
    /// The account has a password.
    PasswordNeeded {
        /// What its owner is reminded by.
        hint: Option<String>,
    },
}

/// Who signed in.
pub struct SignedIn {
    /// Telegram's id of the account.
    pub user_id: i64,
    /// True for a bot.
    pub bot: bool,
    /// True for a premium account.
    pub premium: bool,
    /// Its public name, or else its first one.
    pub display: String,
    /// The data-centre it lives in.
    pub home_dc: i32,
    /// What a store is given.
    pub seed: SessionSeed,
}

/// A sign-in under way.
pub struct Login {
    pub(crate) line: LoginLine,
    pub(crate) application: Application,
    pending: Option<PendingCode>,
    signed_in: bool,
}

struct PendingCode {
    phone: String,
    hash: String,
    by_mail: bool,
}

/// Leaves out phone number, hashes and keys.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("dc", &self.line.dc()).field("signed_in", &self.signed_in).finish_non_exhaustive()
    }
}

impl Login {
    /// Prepares a sign-in that begins at data-centre `first_dc` ([`FIRST_DC`]). Connects with the first step.
    #[must_use]
    pub fn new(config: Arc<ClientConfig>, application: Application, first_dc: i32) -> Self {
        let line = LoginLine::new(config, application.id, first_dc);
        Self { line, application, pending: None, signed_in: false }
    }

    /// Has a code sent to this number.
    ///
    /// # Errors
    /// [`LoginFault`].
    pub async fn send_code(&mut self, phone: &str) -> Result<CodeSent, LoginFault> {
        let settings = types::CodeSettings {
            allow_flashcall: false,
            current_number: false,
            allow_app_hash: false,
            allow_missed_call: true,
            allow_firebase: false,
            unknown_number: false,
            logout_tokens: None,
            token: None,
            app_sandbox: None,
        };
        let request = functions::auth::SendCode {
            phone_number: phone.to_owned(),
            api_id: self.application.id,
            api_hash: self.application.hash.expose_secret().to_owned(),
            settings: settings.into(),
        };
        let sent = self.follow(&request).await?;
        self.sent(phone.to_owned(), sent)
    }

    /// Has the code sent again in the next way.
    ///
    /// # Errors
    /// [`LoginFault`].
    pub async fn resend_code(&mut self) -> Result<CodeSent, LoginFault> {
        let pending = self.pending.as_ref().ok_or(NO_CODE)?;
        let request = functions::auth::ResendCode {
            phone_number: pending.phone.clone(),
            phone_code_hash: pending.hash.clone(),
            reason: None,
        };
        let phone = pending.phone.clone();
        let sent = self.follow(&request).await?;
        self.sent(phone, sent)
    }

    fn sent(&mut self, phone: String, sent: enums::auth::SentCode) -> Result<CodeSent, LoginFault> {
        use enums::auth::SentCodeType as Kind;
        let sent = match sent {
            enums::auth::SentCode::Code(sent) => sent,
            enums::auth::SentCode::Success(_) => {
                return Err(LoginFault::Impossible("Telegram signed in without asking for a code"));
            }
            enums::auth::SentCode::PaymentRequired(_) => return Err(LoginFault::NoCode("be paid for a text message")),
        };
        let (way, length) = match sent.r#type {
            Kind::App(kind) => (CodeWay::App, Some(kind.length)),
            Kind::Sms(kind) => (CodeWay::Sms, Some(kind.length)),
            Kind::FirebaseSms(kind) => (CodeWay::Sms, Some(kind.length)),
            Kind::SmsWord(_) | Kind::SmsPhrase(_) => (CodeWay::Sms, None),
            Kind::Call(kind) => (CodeWay::Call, Some(kind.length)),
            Kind::MissedCall(kind) => (CodeWay::MissedCall(kind.prefix), Some(kind.length)),
            Kind::FragmentSms(kind) => (CodeWay::Fragment(kind.url), Some(kind.length)),
            Kind::EmailCode(kind) => (CodeWay::Email(kind.email_pattern), Some(kind.length)),
            Kind::FlashCall(_) => return Err(LoginFault::NoCode("call an app")),
            Kind::SetUpEmailRequired(_) => return Err(LoginFault::NoCode("know a mail address")),
        };
        let by_mail = matches!(way, CodeWay::Email(_));
        self.pending = Some(PendingCode { phone, hash: sent.phone_code_hash, by_mail });
        let length = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length > 0);
        Ok(CodeSent { way, length, again: sent.next_type.is_some() })
    }

    /// Signs in with the code that was sent.
    ///
    /// # Errors
    /// [`LoginFault`]. After [`LoginFault::CodeInvalid`] another code may be given.
    pub async fn sign_in(&mut self, code: &SecretString) -> Result<Progress, LoginFault> {
        let pending = self.pending.as_ref().ok_or(NO_CODE)?;
        let code = code.expose_secret().trim().to_owned();
        let (phone_code, email_verification) = if pending.by_mail {
            (None, Some(types::EmailVerificationCode { code }.into()))
        } else {
            (Some(code), None)
        };
        let request = functions::auth::SignIn {
            phone_number: pending.phone.clone(),
            phone_code_hash: pending.hash.clone(),
            phone_code,
            email_verification,
        };
        let answer = self.follow(&request).await;
        let progress = self.entered(answer).await?;
        self.pending = None;
        Ok(progress)
    }

    /// Signs in with the account's password.
    ///
    /// # Errors
    /// [`LoginFault`]. After [`LoginFault::PasswordInvalid`] another one may be given.
    pub async fn password(&mut self, password: &SecretString) -> Result<Progress, LoginFault> {
        // A question is good for one answer.
        let asked = self.ask_password().await?;
        let request = functions::auth::CheckPassword { password: prove(asked, password).await? };
        let answer = self.follow(&request).await;
        self.entered(answer).await
    }

    /// Signs a bot in.
    ///
    /// # Errors
    /// [`LoginFault`]. After [`LoginFault::TokenInvalid`] another one may be given.
    pub async fn bot(&mut self, token: &SecretString) -> Result<Progress, LoginFault> {
        let request = functions::auth::ImportBotAuthorization {
            flags: 0,
            api_id: self.application.id,
            api_hash: self.application.hash.expose_secret().to_owned(),
            bot_auth_token: token.expose_secret().trim().to_owned(),
        };
        let answer = self.follow(&request).await;
        self.entered(answer).await
    }

    /// Asks who signed in, and gives what a store keeps of it, under the name `user-ID` or `bot-ID`.
    ///
    /// # Errors
    /// [`LoginFault`].
    pub async fn finish(&mut self) -> Result<SignedIn, LoginFault> {
        let request = functions::users::GetUsers { id: vec![enums::InputUser::UserSelf] };
        let users = self.line.invoke(&request).await?;
        let Some(enums::User::User(user)) = users.into_iter().next() else {
            return Err(CallFault::unexpected("answer to who the account is").into());
        };
        let home_dc = self.line.dc();
        let key = self.line.key().ok_or(LoginFault::Impossible("there is no key"))?;
        let mut seed = SessionSeed::signed_in(user.id, user.bot, home_dc, self.application.id, key);
        seed.premium = Some(user.premium);
        let display = user.username.map(|name| format!("@{name}")).or(user.first_name).unwrap_or_default();
        Ok(SignedIn { user_id: user.id, bot: user.bot, premium: user.premium, display, home_dc, seed })
    }

    /// Takes back what was begun: a code that is on its way, or the authorization itself. Telegram is told as well as it can be.
    pub async fn abandon(&mut self) {
        if std::mem::take(&mut self.signed_in) {
            // What can't be taken back now, its owner sees in the list of devices.
            let _ = self.line.invoke(&functions::auth::LogOut {}).await;
        } else if let Some(pending) = self.pending.take() {
            let cancel = functions::auth::CancelCode { phone_number: pending.phone, phone_code_hash: pending.hash };
            let _ = self.line.invoke(&cancel).await;
        }
    }

    /// Calls, and goes where Telegram says that the account lives.
    pub(crate) async fn follow<R: RemoteCall + Sync>(&mut self, request: &R) -> Result<R::Return, CallFault> {
        for _ in 0..MOST_HOPS {
            match self.line.invoke(request).await {
                Err(CallFault::Migrate(dc)) => self.line.go(dc),
                other => return other,
            }
        }
        Err(CallFault::Other("PHONE_MIGRATE".to_owned()))
    }

    /// What an answer to a sign-in means.
    pub(crate) async fn entered(
        &mut self,
        answer: Result<enums::auth::Authorization, CallFault>,
    ) -> Result<Progress, LoginFault> {
        match answer {
            Ok(enums::auth::Authorization::Authorization(_)) => {
                self.signed_in = true;
                Ok(Progress::SignedIn)
            }
            Ok(enums::auth::Authorization::SignUpRequired(_)) => Err(LoginFault::PhoneUnknown),
            Err(CallFault::Other(name)) if name == PASSWORD_NEEDED => {
                // The code has done its work.
                self.pending = None;
                let hint = self.ask_password().await?.hint.filter(|hint| !hint.is_empty());
                Ok(Progress::PasswordNeeded { hint })
            }
            Err(CallFault::Other(name)) if name == "PHONE_MIGRATE" => Err(LoginFault::Astray),
            Err(fault) => Err(fault.into()),
        }
    }

    async fn ask_password(&mut self) -> Result<types::account::Password, LoginFault> {
        let enums::account::Password::Password(asked) = self.line.invoke(&functions::account::GetPassword {}).await?;
        Ok(asked)
    }

    /// Waits until Telegram says that a login token was accepted, at most so long. True when it did.
    pub(crate) async fn heard_of_token(&mut self, within: Duration) -> bool {
        self.line.token_accepted(within).await
    }
}

const NO_CODE: LoginFault = LoginFault::Impossible("no code was asked for");
