//! Two-step verification.

use grammers_tl_types::{enums, functions, types};

use super::auth::signed_in;
use super::{Answered, object};
use crate::call::{Call, Refusal};
use crate::derive;
use crate::numbers::{DH_GENERATOR, dh_prime};
use crate::query::arguments;
use crate::srp::{Challenge, Verifier};

/// Wrong passwords in a row before a key has to wait, and for how long. Telegram's own numbers aren't known.
const WRONG_PASSWORDS: u32 = 5;
const WAIT_SECONDS: u32 = 60;

pub(super) fn get(call: &Call<'_>) -> Answered {
    let pending = call.entry.pending().or_else(|| call.entry.account().map(|(index, _)| index));
    let index = pending.ok_or_else(Refusal::unregistered)?;
    let (user_id, password) = {
        let live = call.shared.live.read();
        let account = live.accounts.get(index).ok_or_else(Refusal::unregistered)?;
        (account.user_id, account.password.clone())
    };
    let salt = |label: &str| derive::bytes32(call.shared.seed, label, &[user_id]).to_vec();
    let kdf = |salt1: Vec<u8>, salt2: Vec<u8>| {
        types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow {
            salt1,
            salt2,
            g: DH_GENERATOR as i32,
            p: dh_prime().to_bytes_be(),
        }
        .into()
    };
    let challenge = password.as_ref().map(|password| {
        let verifier = Verifier::new(&password.text, salt("password-1"), salt("password-2"));
        let mut secret = [0; 256];
        rand::fill(&mut secret);
        Challenge::new(verifier, rand::random(), &secret)
    });
    let answer = types::account::Password {
        has_recovery: false,
        has_secure_values: false,
        has_password: challenge.is_some(),
        current_algo: challenge.as_ref().map(|challenge| {
            let (salt1, salt2) = challenge.salts();
            kdf(salt1, salt2)
        }),
        srp_b: challenge.as_ref().map(|challenge| challenge.g_b().to_vec()),
        srp_id: challenge.as_ref().map(|challenge| challenge.id),
        hint: password.and_then(|password| password.hint),
        email_unconfirmed_pattern: None,
        new_algo: kdf(salt("new-1"), salt("new-2")),
        new_secure_algo: types::SecurePasswordKdfAlgoPbkdf2Hmacsha512iter100000 { salt: salt("secure") }.into(),
        secure_random: rand::random::<[u8; 32]>().to_vec(),
        pending_reset_date: None,
        login_email_pattern: None,
    };
    call.entry.ask(challenge);
    object(&enums::account::Password::Password(answer))
}

pub(super) fn check(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::CheckPassword = arguments(body)?;
    let index = call.entry.pending().ok_or_else(Refusal::unregistered)?;
    if call.entry.wrong_passwords() >= WRONG_PASSWORDS {
        return Err(Refusal::new(420, format!("FLOOD_WAIT_{WAIT_SECONDS}")));
    }
    let enums::InputCheckPasswordSrp::Srp(answer) = asked.password else {
        return Err(Refusal::bad("PASSWORD_HASH_INVALID"));
    };
    // One answer for each question: another needs another number.
    let challenge = call.entry.asked().filter(|challenge| challenge.id == answer.srp_id);
    let challenge = challenge.ok_or_else(|| Refusal::bad("SRP_ID_INVALID"))?;
    if !challenge.proves(&answer.a, &answer.m1) {
        call.entry.wrong_password();
        return Err(Refusal::bad("PASSWORD_HASH_INVALID"));
    }
    signed_in(call, index, false)
}
