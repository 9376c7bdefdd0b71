//! The client's half of two-step verification: <https://core.telegram.org/api/srp>. The password itself never leaves this machine.

use crate::exchange::is_sound_group;
use crate::login_fault::LoginFault;
use grammers_crypto::two_factor_auth::calculate_2fa;
use grammers_tl_types::{enums, types};
use secrecy::{ExposeSecret, SecretString};

const UNKNOWN: LoginFault = LoginFault::Impossible("Telegram asks for the password in a way not known here");
const UNSOUND: LoginFault = LoginFault::Impossible("the data-centre's numbers would give the password away");

/// Proves that `password` is the one that the data-centre asks for.
pub(crate) async fn prove(
    asked: types::account::Password,
    password: &SecretString,
) -> Result<enums::InputCheckPasswordSrp, LoginFault> {
    use enums::PasswordKdfAlgo::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow as Known;
    let (Some(Known(algorithm)), Some(g_b), Some(srp_id)) = (asked.current_algo, asked.srp_b, asked.srp_id) else {
        return Err(UNKNOWN);
    };
    let password = password.clone();
    // A hundred thousand rounds of a hash, on purpose: connections must not wait for them.
    let proof = tokio::task::spawn_blocking(move || {
        let types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow { salt1, salt2, g, p } = algorithm;
        let zero = g_b.iter().all(|byte| *byte == 0);
        if !is_sound_group(&p, g) || g_b.len() > p.len() || zero || (g_b.len() == p.len() && g_b >= p) {
            return Err(UNSOUND);
        }
        let mut secret = vec![0; p.len()];
        rand::fill(&mut secret[..]);
        let (m1, a) = calculate_2fa(&salt1, &salt2, &p, &g, g_b, secret, password.expose_secret());
        Ok(types::InputCheckPasswordSrp { srp_id, a: a.to_vec(), m1: m1.to_vec() }.into())
    });
    proof.await.map_err(|_| UNSOUND)?
}
