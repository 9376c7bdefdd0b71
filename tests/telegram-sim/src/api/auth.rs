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
    let account = call.shared.live.read().accounts.get(export.account).cloned();
    let account =
        account.filter(|account| account.user_id == asked.id).ok_or_else(|| Refusal::bad("USER_ID_INVALID"))?;
    call.shared.counters.book.imported(&account.name, call.dc);
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

pub(super) fn log_out(context: &Context<'_>) -> Answered {
    context.call.entry.sign_in(None, false);
    object(&enums::auth::LoggedOut::Out(types::auth::LoggedOut { future_auth_token: None }))
}

/// The account that `wanted` says yes to, and where it lives.
pub(super) fn find(call: &Call<'_>, wanted: impl Fn(&Account) -> bool) -> Option<(usize, i32)> {
    let live = call.shared.live.read();
    let index = live.accounts.iter().position(wanted)?;
    live.accounts.get(index).map(|account| (index, account.home_dc))
}

/// Signs an account in and answers with it, or asks for its password first.
pub(super) fn enter(call: &Call<'_>, index: usize) -> Answered {
    enter_quietly(call, index)?;
    object(&authorization(call, index)?)
}

/// As [`enter`], without the answer.
pub(super) fn enter_quietly(call: &Call<'_>, index: usize) -> Result<(), Refusal> {
    let locked = call.shared.live.read().accounts.get(index).is_some_and(|account| account.password.is_some());
    if locked {
        call.entry.hold(index);
        return Err(Refusal::new(401, "SESSION_PASSWORD_NEEDED"));
    }
    call.entry.sign_in(Some(index), false);
    Ok(())
}

/// Signs an account in and answers with it.
pub(super) fn signed_in(call: &Call<'_>, index: usize, imported: bool) -> Answered {
    call.entry.sign_in(Some(index), imported);
    object(&authorization(call, index)?)
}

/// What somebody who has signed in is told.
pub(super) fn authorization(call: &Call<'_>, index: usize) -> Result<enums::auth::Authorization, Refusal> {
    let live = call.shared.live.read();
    let account = live.accounts.get(index).ok_or_else(|| Refusal::bad("USER_ID_INVALID"))?;
    let user = View { live: &live, account }.user(account);
    Ok(enums::auth::Authorization::Authorization(types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token: None,
        user,
    }))
}
