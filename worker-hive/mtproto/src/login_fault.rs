//! Every way a sign-in can fail, in a closed table that whoever asks the questions can act upon.

use crate::fault::CallFault;

/// Why a step of a sign-in wasn't taken. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginFault {
    /// Telegram doesn't take this for a phone number.
    #[error("that is no phone number; write it with its country code, as in +49 151 12345678")]
    PhoneInvalid,
    /// Nobody has an account with this number.
    #[error("there is no account with that phone number")]
    PhoneUnknown,
    /// The number is banned.
    #[error("Telegram has banned that phone number")]
    PhoneBanned,
    /// Not the code that was sent.
    #[error("that is not the code that was sent")]
    CodeInvalid,
    /// The code is too old, or was guessed at too often.
    #[error("the code is not valid any more")]
    CodeExpired,
    /// Telegram would send the code in a way that can't be answered here.
    #[error("Telegram wants to {0} before it sends a code; sign in with a QR code instead")]
    NoCode(&'static str),
    /// Not the account's password.
    #[error("that is not the account's password")]
    PasswordInvalid,
    /// Not a bot's token.
    #[error("Telegram knows no bot with that token")]
    TokenInvalid,
    /// Not an application's id, or not its hash.
    #[error("Telegram doesn't accept api id and api hash: see my.telegram.org/apps")]
    ApiInvalid,
    /// Too many tries.
    #[error("Telegram asks to wait {seconds} s before the next try")]
    Flood {
        /// Whole seconds, as Telegram said.
        seconds: u32,
    },
    /// Sent on from one data-centre to the next, without end.
    #[error("the data-centres send the sign-in on to each other")]
    Astray,
    /// The login can't go on from here.
    #[error("{0}")]
    Impossible(&'static str),
    /// The question could not be asked, or Telegram said something outside this table.
    #[error(transparent)]
    Call(CallFault),
}

impl LoginFault {
    /// True when another answer to the same question may be the right one.
    #[must_use]
    pub fn is_answer_wrong(&self) -> bool {
        matches!(self, Self::PhoneInvalid | Self::CodeInvalid | Self::PasswordInvalid | Self::TokenInvalid)
    }
}

impl From<CallFault> for LoginFault {
    fn from(fault: CallFault) -> Self {
        match &fault {
            CallFault::Flood { seconds, .. } => Self::Flood { seconds: *seconds },
            CallFault::Other(name) => match name.as_str() {
                "PHONE_NUMBER_INVALID" => Self::PhoneInvalid,
                "PHONE_NUMBER_UNOCCUPIED" => Self::PhoneUnknown,
                "PHONE_NUMBER_BANNED" => Self::PhoneBanned,
                "PHONE_CODE_INVALID" | "PHONE_CODE_EMPTY" | "CODE_INVALID" | "EMAIL_VERIFY_EXPIRED" => {
                    Self::CodeInvalid
                }
                "PHONE_CODE_EXPIRED" | "PHONE_CODE_HASH_EMPTY" => Self::CodeExpired,
                "PASSWORD_HASH_INVALID" => Self::PasswordInvalid,
                "ACCESS_TOKEN_INVALID" => Self::TokenInvalid,
                "API_ID_INVALID" | "API_ID_PUBLISHED_FLOOD" => Self::ApiInvalid,
                "PHONE_PASSWORD_FLOOD" => Self::Impossible("too many tries with this number: try again tomorrow"),
                "SEND_CODE_UNAVAILABLE" => Self::Impossible("Telegram has no other way to send the code"),
                _ => Self::Call(fault),
            },
            CallFault::Banned(name) if name == "ACCESS_TOKEN_EXPIRED" => Self::TokenInvalid,
            _ => Self::Call(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LoginFault;
    use crate::fault::CallFault;

    #[test]
    fn telegrams_words_map_to_the_table() {
        let other = |name: &str| CallFault::Other(name.to_owned());
        let cases = [
            (CallFault::Flood { seconds: 7, premium_exempt: false }, LoginFault::Flood { seconds: 7 }),
            (other("PHONE_NUMBER_INVALID"), LoginFault::PhoneInvalid),
            (other("PHONE_CODE_EXPIRED"), LoginFault::CodeExpired),
            (other("PASSWORD_HASH_INVALID"), LoginFault::PasswordInvalid),
            (CallFault::Banned("ACCESS_TOKEN_EXPIRED".into()), LoginFault::TokenInvalid),
            (other("SOMETHING_NEW"), LoginFault::Call(other("SOMETHING_NEW"))),
            (CallFault::Timeout, LoginFault::Call(CallFault::Timeout)),
        ];
        for (said, expected) in cases {
            assert_eq!(LoginFault::from(said), expected);
        }
    }
}
