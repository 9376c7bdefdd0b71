//! Signing in, and carrying an authorization to another data-centre.

use grammers_tl_types::{enums, functions, types};

use super::objects::View;
use super::{Answered, Context, object};
use crate::call::{Call, Refusal};
use crate::derive;
use crate::query::arguments;
use crate::state::Export;
use crate::world::Account;

pub(super) fn export(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::ExportAuthorization = arguments(body)?;
    let shared = context.call.shared;
    let known = shared.live.read().data_centres.contains(&asked.dc_id);
    // An authorization that was itself imported can't be exported further, and none goes to where it already is.
    if !known || asked.dc_id == context.call.dc || context.caller.imported {
        return Err(Refusal::bad("DC_ID_INVALID"));
    }
    let bytes: [u8; 32] = rand::random();
    let bytes = [bytes, derive::bytes32(shared.seed, "export", &[context.caller.account.user_id])].concat();
    let export = Export { account: context.caller.index, dc: asked.dc_id };
    shared.exports.lock().insert(bytes.clone(), export);
    let id = context.caller.account.user_id;
    object(&enums::auth::ExportedAuthorization::Authorization(types::auth::ExportedAuthorization { id, bytes }))
}

pub(super) fn import(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::ImportAuthorization = arguments(body)?;
    // Taken out whatever comes of it: an authorization can be imported once.
    let export = call.shared.exports.lock().remove(&asked.bytes);
    let export = export.filter(|export| export.dc == call.dc).ok_or_else(|| Refusal::bad("AUTH_BYTES_INVALID"))?;
    if call.shared.live.read().accounts.get(export.account).is_none_or(|account| account.user_id != asked.id) {
        return Err(Refusal::bad("USER_ID_INVALID"));
    }
    signed_in(call, export.account, true)
}

pub(super) fn import_bot(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::ImportBotAuthorization = arguments(body)?;
    let token = |account: &Account| account.bot_token.as_ref() == Some(&asked.bot_auth_token);
    let (index, home) = find(call, token).ok_or_else(|| Refusal::bad("ACCESS_TOKEN_INVALID"))?;
    if home != call.dc {
        return Err(Refusal::new(303, format!("USER_MIGRATE_{home}")));
    }
    signed_in(call, index, false)
}

pub(super) fn send_code(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::SendCode = arguments(body)?;
    let phone = digits(&asked.phone_number);
    let (_, home) = by_phone(call, &phone)?;
    if home != call.dc {
        return Err(Refusal::new(303, format!("PHONE_MIGRATE_{home}")));
    }
    let length = call.shared.live.read().login_code.len() as i32;
    object(&enums::auth::SentCode::Code(types::auth::SentCode {
        r#type: enums::auth::SentCodeType::App(types::auth::SentCodeTypeApp { length }),
        phone_code_hash: code_hash(call, &phone),
        next_type: None,
        timeout: None,
    }))
}

pub(super) fn sign_in(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::SignIn = arguments(body)?;
    let phone = digits(&asked.phone_number);
    let (index, _) = by_phone(call, &phone)?;
    if asked.phone_code_hash != code_hash(call, &phone) {
        return Err(Refusal::bad("PHONE_CODE_EXPIRED"));
    }
    match asked.phone_code {
        None => Err(Refusal::bad("PHONE_CODE_EMPTY")),
        Some(code) if code != call.shared.live.read().login_code => Err(Refusal::bad("PHONE_CODE_INVALID")),
        Some(_) => signed_in(call, index, false),
    }
}

pub(super) fn log_out(context: &Context<'_>) -> Answered {
    context.call.entry.sign_in(None, false);
    object(&enums::auth::LoggedOut::Out(types::auth::LoggedOut { future_auth_token: None }))
}

fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

fn find(call: &Call<'_>, wanted: impl Fn(&Account) -> bool) -> Option<(usize, i32)> {
    let live = call.shared.live.read();
    let index = live.accounts.iter().position(wanted)?;
    live.accounts.get(index).map(|account| (index, account.home_dc))
}

fn by_phone(call: &Call<'_>, phone: &str) -> Result<(usize, i32), Refusal> {
    find(call, |account| account.phone.as_deref() == Some(phone)).ok_or_else(|| Refusal::bad("PHONE_NUMBER_INVALID"))
}

fn code_hash(call: &Call<'_>, phone: &str) -> String {
    derive::hex(&derive::bytes32(call.shared.seed, phone, &[])[..9])
}

/// Signs an account in and answers with it.
fn signed_in(call: &Call<'_>, index: usize, imported: bool) -> Answered {
    let live = call.shared.live.read();
    let account = live.accounts.get(index).ok_or_else(|| Refusal::bad("USER_ID_INVALID"))?;
    call.entry.sign_in(Some(index), imported);
    let user = View { live: &live, account }.user(account);
    object(&enums::auth::Authorization::Authorization(types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token: None,
        user,
    }))
}
