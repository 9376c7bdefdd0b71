//! Where a data-centre is.

use crate::route::IpVersions;
use crate::store::{AccountStore, DcRecord};
use grammers_session::SessionData;
use grammers_session::types::DcOption;
use grammers_tl_types::{enums, types};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The addresses to try for data-centre `dc`, in order.
///
/// A configured one stands alone, whatever its version. Else it is what Telegram or the import last said, and where nothing is known,
/// Telegram's well-known address. Well-known and other addresses are never mixed, as the others may be of a test server.
pub(crate) fn targets(
    dc: i32,
    configured: &HashMap<i32, SocketAddr>,
    known: &DcRecord,
    ip: IpVersions,
) -> Vec<SocketAddr> {
    if let Some(address) = configured.get(&dc) {
        return vec![*address];
    }
    let built_in = SessionData::default().dc_options.remove(&dc);
    let (v4, v6) = match (known.ipv4, known.ipv6) {
        (None, None) => (built_in.as_ref().map(|it| it.ipv4), built_in.as_ref().map(|it| it.ipv6)),
        (Some(v4), None) => (Some(v4), built_in.filter(|it: &DcOption| it.ipv4 == v4).map(|it| it.ipv6)),
        both => both,
    };
    ip.pick(v4.map(SocketAddr::V4).into_iter().chain(v6.map(SocketAddr::V6)))
}

/// Keeps the addresses that Telegram lists, for the next connection. A configured one is the configuration's to keep.
pub(crate) async fn learn(
    store: &AccountStore,
    configured: &HashMap<i32, SocketAddr>,
    config: &types::Config,
) -> Result<(), crate::schema::StoreError> {
    let mut listed: BTreeMap<i32, (Option<SocketAddrV4>, Option<SocketAddrV6>)> = BTreeMap::new();
    for enums::DcOption::Option(option) in &config.dc_options {
        let (Ok(ip), Ok(port)) = (option.ip_address.parse::<IpAddr>(), u16::try_from(option.port)) else { continue };
        if option.media_only || option.tcpo_only || option.cdn || !option.r#static || port == 0 {
            continue;
        }
        if configured.contains_key(&option.id) {
            continue;
        }
        let found = listed.entry(option.id).or_default();
        match ip {
            IpAddr::V4(ip) => found.0 = found.0.or(Some(SocketAddrV4::new(ip, port))),
            IpAddr::V6(ip) => found.1 = found.1.or(Some(SocketAddrV6::new(ip, port, 0, 0))),
        }
    }
    for (id, (v4, v6)) in listed {
        let known = store.dc(id).unwrap_or_default();
        store.save_dc(id, v4.or(known.ipv4), v6.or(known.ipv6), None).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::targets;
    use crate::route::IpVersions;
    use crate::store::DcRecord;
    use std::collections::HashMap;

    #[test]
    fn addresses_of_different_worlds_are_not_mixed() {
        let known =
            |v4: &str, v6: &str| DcRecord { ipv4: v4.parse().ok(), ipv6: v6.parse().ok(), ..DcRecord::default() };
        let show = |dc, record: &DcRecord, ip| {
            let found = targets(dc, &HashMap::from([(9, "[::9]:9".parse().unwrap())]), record, ip);
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let (v4, v6, any) = (IpVersions::V4, IpVersions::V6, IpVersions::Any);
        let own = known("127.0.0.1:4", "[::1]:6");
        assert_eq!(show(2, &own, v4), "127.0.0.1:4");
        assert_eq!(show(2, &own, v6), "[::1]:6");
        assert_eq!(show(2, &own, any), "[::1]:6 127.0.0.1:4");
        assert_eq!(show(2, &known("127.0.0.1:4", ""), any), "127.0.0.1:4");
        assert_eq!(show(2, &known("127.0.0.1:4", ""), v6), "");
        let built_in = show(2, &DcRecord::default(), any);
        assert_eq!(show(2, &known(built_in.split(' ').nth(1).unwrap(), ""), any), built_in);
        assert_eq!(show(9, &own, v4), "[::9]:9");
        assert_eq!(show(77, &DcRecord::default(), any), "");
    }
}
