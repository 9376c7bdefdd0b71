//! Signing in with a login token, which another device of the account reads off the screen and accepts.

use grammers_tl_types::{enums, functions, types};

use super::auth::{authorization, enter_quietly};
use super::{Answered, Context, object};
use crate::call::{Call, Refusal};
use crate::clock::unix_now;
use crate::logins::Token;
use crate::query::arguments;

pub(super) fn export(call: &Call<'_>, body: &[u8]) -> Answered {
    let _asked: functions::auth::ExportLoginToken = arguments(body)?;
    let (now, key) = (call.shared.elapsed(), call.entry.key.id());
    let accepted = call.shared.logins.lock().accepted(call.dc, key).map(|(token, who)| (token.to_vec(), who));
    if let Some((token, index)) = accepted {
        let home = home_of(call, index)?;
        if home != call.dc {
            let moved = types::auth::LoginTokenMigrateTo { dc_id: home, token };
            return object(&enums::auth::LoginToken::MigrateTo(moved));
        }
        return success(call, index, &token);
    }
    let seconds = call.shared.live.read().login_token_seconds;
    let token = rand::random::<[u8; 32]>().to_vec();
    let until = now + std::time::Duration::from_secs(seconds.max(0) as u64);
    let shown = Token { dc: call.dc, key, session: call.session, wire: call.wire.clone(), until, accepted: None };
    call.shared.logins.lock().show(token.clone(), shown, now);
    object(&enums::auth::LoginToken::Token(types::auth::LoginToken { expires: unix_now() + seconds, token }))
}

pub(super) fn import(call: &Call<'_>, body: &[u8]) -> Answered {
    let asked: functions::auth::ImportLoginToken = arguments(body)?;
    let index = call.shared.logins.lock().accepted_by(&asked.token);
    let index = index.ok_or_else(|| Refusal::bad("AUTH_TOKEN_INVALID"))?;
    let home = home_of(call, index)?;
    if home != call.dc {
        let moved = types::auth::LoginTokenMigrateTo { dc_id: home, token: asked.token };
        return object(&enums::auth::LoginToken::MigrateTo(moved));
    }
    success(call, index, &asked.token)
}

pub(super) fn accept(context: &Context<'_>, body: &[u8]) -> Answered {
    context.not_for_bots()?;
    let asked: functions::auth::AcceptLoginToken = arguments(body)?;
    context.call.shared.accept_login_token(&asked.token, context.caller.index).map_err(Refusal::bad)?;
    let now = unix_now();
    object(&enums::Authorization::Authorization(types::Authorization {
        current: false,
        official_app: false,
        password_pending: context.caller.account.password.is_some(),
        encrypted_requests_disabled: false,
        call_requests_disabled: false,
        unconfirmed: false,
        hash: rand::random(),
        device_model: String::new(),
        platform: String::new(),
        system_version: String::new(),
        api_id: context.call.shared.live.read().api_id,
        app_name: String::new(),
        app_version: String::new(),
        date_created: now,
        date_active: now,
        ip: "127.0.0.1".to_owned(),
        country: String::new(),
        region: String::new(),
    }))
}

fn success(call: &Call<'_>, index: usize, token: &[u8]) -> Answered {
    enter_quietly(call, index)?;
    call.shared.logins.lock().remove(token);
    let success = types::auth::LoginTokenSuccess { authorization: authorization(call, index)? };
    object(&enums::auth::LoginToken::Success(success))
}

fn home_of(call: &Call<'_>, index: usize) -> Result<i32, Refusal> {
    let live = call.shared.live.read();
    live.accounts.get(index).map(|account| account.home_dc).ok_or_else(|| Refusal::bad("AUTH_TOKEN_INVALID"))
}
