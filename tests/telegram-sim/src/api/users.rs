//! Users.

use grammers_tl_types::{enums, functions, types};

use super::{Answered, Context, object};
use crate::call::Refusal;
use crate::query::arguments;

fn id_of(context: &Context<'_>, user: &enums::InputUser) -> i64 {
    match user {
        enums::InputUser::UserSelf => context.caller.account.user_id,
        enums::InputUser::User(user) => user.user_id,
        enums::InputUser::FromMessage(user) => user.user_id,
        enums::InputUser::Empty => 0,
    }
}

pub(super) fn get_users(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::users::GetUsers = arguments(body)?;
    let live = context.call.shared.live.read();
    let view = context.view(&live);
    let one = |id: i64| match live.accounts.iter().find(|account| account.user_id == id) {
        Some(account) => view.user(account),
        None => enums::User::Empty(types::UserEmpty { id }),
    };
    object(&asked.id.iter().map(|user| one(id_of(context, user))).collect::<Vec<_>>())
}

pub(super) fn get_full_user(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::users::GetFullUser = arguments(body)?;
    let live = context.call.shared.live.read();
    let id = id_of(context, &asked.id);
    let account = live.accounts.iter().find(|account| account.user_id == id);
    let account = account.ok_or_else(|| Refusal::bad("USER_ID_INVALID"))?;
    object(&context.view(&live).user_full(account))
}
