//! Configuration and state: what clients ask about the service itself.

use grammers_tl_types::{enums, types};

use super::{Answered, object};
use crate::call::Call;
use crate::clock::unix_now;

/// How long a client may keep a configuration, in seconds.
const CONFIG_SECONDS: i32 = 3600;

pub(super) fn config(call: &Call<'_>) -> Answered {
    let option = |(&id, address): (&i32, &std::net::SocketAddr)| {
        enums::DcOption::Option(types::DcOption {
            ipv6: address.is_ipv6(),
            media_only: false,
            tcpo_only: false,
            cdn: false,
            // Clients that overwrite their own list take over the static ones only.
            r#static: true,
            this_port_only: false,
            id,
            ip_address: address.ip().to_string(),
            port: address.port().into(),
            secret: None,
        })
    };
    let both = [call.shared.addresses.get(), call.shared.addresses_v6.get()];
    let dc_options = both.into_iter().flatten().flat_map(|all| all.iter().map(option)).collect();
    let now = unix_now();
    object(&enums::Config::Config(types::Config {
        default_p2p_contacts: false,
        preload_featured_stickers: false,
        revoke_pm_inbox: false,
        blocked_mode: false,
        force_try_ipv6: false,
        date: now,
        expires: now + CONFIG_SECONDS,
        test_mode: false,
        this_dc: call.dc,
        dc_options,
        dc_txt_domain_name: String::new(),
        chat_size_max: 200,
        megagroup_size_max: 200_000,
        forwarded_count_max: 100,
        online_update_period_ms: 210_000,
        offline_blur_timeout_ms: 5000,
        offline_idle_timeout_ms: 30_000,
        online_cloud_timeout_ms: 300_000,
        notify_cloud_delay_ms: 30_000,
        notify_default_delay_ms: 1500,
        push_chat_period_ms: 60_000,
        push_chat_limit: 2,
        edit_time_limit: 172_800,
        revoke_time_limit: i32::MAX,
        revoke_pm_time_limit: i32::MAX,
        rating_e_decay: 2_419_200,
        stickers_recent_limit: 200,
        channels_read_media_period: 604_800,
        tmp_sessions: None,
        call_receive_timeout_ms: 20_000,
        call_ring_timeout_ms: 90_000,
        call_connect_timeout_ms: 30_000,
        call_packet_timeout_ms: 10_000,
        me_url_prefix: "https://t.me/".to_owned(),
        autoupdate_url_prefix: None,
        gif_search_username: None,
        venue_search_username: None,
        img_search_username: None,
        static_maps_provider: None,
        caption_length_max: 1024,
        message_length_max: 4096,
        webfile_dc_id: call.dc,
        suggested_lang_code: None,
        lang_pack_version: None,
        base_lang_pack_version: None,
        reactions_default: None,
        autologin_token: None,
    }))
}

pub(super) fn nearest(call: &Call<'_>) -> Answered {
    let nearest = types::NearestDc { country: "XX".to_owned(), this_dc: call.dc, nearest_dc: call.dc };
    object(&enums::NearestDc::Dc(nearest))
}

/// Nothing happens in this world behind a client's back, so its state never moves.
fn update_state() -> types::updates::State {
    types::updates::State { pts: 1, qts: 0, date: unix_now(), seq: 0, unread_count: 0 }
}

pub(super) fn state() -> Answered {
    object(&enums::updates::State::State(update_state()))
}

pub(super) fn difference() -> Answered {
    let empty = types::updates::DifferenceEmpty { date: unix_now(), seq: 0 };
    object(&enums::updates::Difference::Empty(empty))
}
