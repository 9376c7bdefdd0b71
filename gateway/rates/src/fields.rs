//! What a decision says to the client: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10, §3 and §4).
//!
//! Both are lists of structured fields (RFC 9651): a name for each policy, with its quota `q` and window `w`, and with what remains `r`
//! and the seconds `t` until all of it is there again. Partition keys are left out: they would repeat to the client what it is.

use crate::bucket::Standing;
use std::time::Duration;

/// `RateLimit-Policy`. `None` if nothing bounds the request.
pub(crate) fn policy(standings: &[Standing]) -> Option<String> {
    list(standings, |standing| {
        let window = seconds(standing.rate.window()).max(1);
        format!("{};q={};w={window}", name(standing), standing.rate.tokens())
    })
}

/// `RateLimit`.
pub(crate) fn limit(standings: &[Standing]) -> Option<String> {
    list(standings, |standing| format!("{};r={};t={}", name(standing), standing.remaining(), seconds(standing.reset())))
}

/// Seconds for `Retry-After` (RFC 9110 §10.2.3): at least one, and rounded up, so that who comes then is not early.
pub(crate) fn retry_after(standings: &[Standing]) -> Duration {
    let wait = standings.iter().map(Standing::wait).max().unwrap_or_default();
    Duration::from_secs(seconds(wait).max(1))
}

fn name(standing: &Standing) -> String {
    format!("\"{}-{}\"", standing.route.word(), standing.scope.word())
}

fn list(standings: &[Standing], member: impl Fn(&Standing) -> String) -> Option<String> {
    let members: Vec<String> = standings.iter().map(member).collect();
    (!members.is_empty()).then(|| members.join(", "))
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::{limit, policy, retry_after};
    use crate::bucket::{Route, Scope, Standing};
    use crate::meter::Rate;
    use std::time::Duration;

    #[test]
    fn fields_are_lists_of_policies() {
        let standing = |scope, tokens, taken| {
            let rate = Rate::new(tokens, Duration::from_secs(60)).unwrap();
            Standing { scope, rate, route: Route::Sign, level: taken * rate.cost(1), cost: rate.cost(1) }
        };
        let both = [standing(Scope::Address, 5, 5), standing(Scope::Tenant, 100, 1)];
        assert_eq!(policy(&both).unwrap(), "\"sign-address\";q=5;w=60, \"sign-tenant\";q=100;w=60");
        assert_eq!(limit(&both).unwrap(), "\"sign-address\";r=0;t=60, \"sign-tenant\";r=99;t=1");
        assert_eq!(retry_after(&both), Duration::from_secs(12));
        assert_eq!((policy(&[]), limit(&[])), (None, None));
    }
}
