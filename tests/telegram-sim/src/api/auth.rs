//! Signing in, and carrying an authorization to another data-centre.

use grammers_tl_types::{enums, functions, types};

use super::objects::View;
use super::{Answered, Context, object};
use crate::call::{Call, Refusal};
use crate::derive;
use crate::session::arguments;
use crate::state::Export;

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
