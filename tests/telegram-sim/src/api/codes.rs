//! Signing in with a phone number and a code.

use grammers_tl_types::{Serializable, enums, functions, types};

use super::auth::{enter, find};
use super::{Answered, object};
use crate::call::{Answer, Call, Refusal};
use crate::derive;
use crate::query::arguments;

/// Digits that a number has at least; Telegram knows each country's own rules.
const SHORTEST: usize = 7;
const LONGEST: usize = 15;

pub(super) fn send_code(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::SendCode = arguments(body)?;
    let phone = digits(&asked.phone_number)?;
    send(call, &phone, false)
}

pub(super) fn resend_code(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::ResendCode = arguments(body)?;
    let phone = digits(&asked.phone_number)?;
    if !call.shared.logins.lock().cancel(&asked.phone_code_hash, &phone) {
        return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
    }
    send(call, &phone, true)
}

pub(super) fn cancel_code(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::CancelCode = arguments(body)?;
    let phone = digits(&asked.phone_number)?;
    if !call.shared.logins.lock().cancel(&asked.phone_code_hash, &phone) {
        return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
    }
    Ok(Answer::Object(true.to_bytes()))
}

pub(super) fn sign_in(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::SignIn = arguments(body)?;
    let phone = digits(&asked.phone_number)?;
    let now = call.shared.elapsed();
    let checked = call.shared.logins.lock().check(&asked.phone_code_hash, &phone, asked.phone_code.as_deref(), now);
    checked.map_err(|fault| Refusal::bad(fault.name()))?;
    // Said only to who has the code: else anybody could find out which numbers have accounts.
    let (index, _) = by_phone(call, &phone).ok_or_else(|| Refusal::bad("PHONE_NUMBER_UNOCCUPIED"))?;
    let entered = enter(call, index);
    // It has done its work, even where a password is still to come.
    call.shared.logins.lock().cancel(&asked.phone_code_hash, &phone);
    entered
}

fn send(call: &Call<'_>, phone: &str, again: bool) -> Answered {
    let found = by_phone(call, phone);
    if let Some((_, home)) = found.filter(|(_, home)| *home != call.dc) {
        return Err(Refusal::new(303, format!("PHONE_MIGRATE_{home}")));
    }
    let (code, most) = {
        let live = call.shared.live.read();
        let own = found.and_then(|(index, _)| live.accounts.get(index)?.code.clone());
        (own.unwrap_or_else(|| live.login_code.clone()), live.codes_per_hour)
    };
    let now = call.shared.elapsed();
    let phone_code_hash = derive::hex(&rand::random::<[u8; 9]>());
    let mut logins = call.shared.logins.lock();
    logins.count(phone, now, most).map_err(|seconds| Refusal::new(420, format!("FLOOD_WAIT_{seconds}")))?;
    logins.send(&phone_code_hash, phone, &code, now);
    drop(logins);
    let length = code.len() as i32;
    let r#type = if again {
        enums::auth::SentCodeType::Sms(types::auth::SentCodeTypeSms { length })
    } else {
        enums::auth::SentCodeType::App(types::auth::SentCodeTypeApp { length })
    };
    object(&enums::auth::SentCode::Code(types::auth::SentCode {
        r#type,
        phone_code_hash,
        next_type: (!again).then_some(enums::auth::CodeType::Sms),
        timeout: (!again).then_some(60),
    }))
}

fn digits(phone: &str) -> Result<String, Refusal> {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let plain = phone.chars().all(|c| c.is_ascii_digit() || "+- ()".contains(c));
    if plain && (SHORTEST..=LONGEST).contains(&digits.len()) {
        Ok(digits)
    } else {
        Err(Refusal::bad("PHONE_NUMBER_INVALID"))
    }
}

fn by_phone(call: &Call<'_>, phone: &str) -> Option<(usize, i32)> {
    find(call, |account| account.phone.as_deref() == Some(phone))
}
