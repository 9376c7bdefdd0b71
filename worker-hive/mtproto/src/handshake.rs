//! Makes a key with a data-centre that this account, or this sign-in, has none for yet.
#![expect(clippy::disallowed_methods, reason = "how far this machine's clock is off is measured here")]

use crate::exchange::{ExchangeFault, ask};
use crate::rsa::RsaKeys;
use crate::talk::Talk;
use grammers_mtproto::authentication::Finished;
use grammers_mtproto::mtp::Plain;
use grammers_mtsender::InvocationError;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// Agrees on a key with whoever holds the private half of one of `keys`. There is no time limit here.
pub(crate) async fn agree(talk: &mut Talk<Plain>, keys: &RsaKeys) -> Result<Finished, InvocationError> {
    let (request, asked) = ask(rand::random());
    let answer = talk.invoke(&request).await?;
    let keys = keys.clone();
    let (request, proved) = calculate(move || {
        let (mut new_nonce, mut noise) = ([0; 32], [0; 224]);
        rand::fill(&mut new_nonce);
        rand::fill(&mut noise);
        asked.prove(answer, &keys, new_nonce, &noise)
    })
    .await?;
    let answer = talk.invoke(&request).await?;
    let (request, agreed) = calculate(move || {
        let mut secret = [0; 256];
        rand::fill(&mut secret);
        proved.agree(answer, &secret, &rand::random())
    })
    .await?;
    let answer = talk.invoke(&request).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    agreed.finish(answer, i32::try_from(now).unwrap_or(i32::MAX)).map_err(fault)
}

/// Numbers of 2048 bits take a while, and the library panics at some that can't be: neither must hit the connection.
async fn calculate<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExchangeFault> + Send + 'static,
) -> Result<T, InvocationError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(ExchangeFault::Unreadable)).map_err(fault)
}

fn fault(fault: ExchangeFault) -> InvocationError {
    InvocationError::Io(io::Error::other(fault))
}

#[cfg(test)]
mod tests {
    use super::agree;
    use crate::route::Route;
    use crate::rsa::RsaKeys;
    use crate::talk::Talk;
    use telegram_sim::{Sim, World, rsa_public_pem};

    #[tokio::test]
    async fn a_key_is_made_with_the_servers_rsa_key_and_with_no_other() {
        let sim = Sim::start(World::new(1)).unwrap();
        let address = sim.dc_addr(2).unwrap();
        let made = async |keys: &RsaKeys| {
            let mut talk = Talk::open(&Route::default(), 2, &[address]).await.unwrap();
            agree(&mut talk, keys).await
        };
        let keys = RsaKeys::from_pem(&rsa_public_pem()).unwrap();
        let (one, other) = (made(&keys).await.unwrap(), made(&keys).await.unwrap());
        assert_ne!(one.auth_key, other.auth_key);
        assert!(one.time_offset.abs() < 60);
        let refused = made(&RsaKeys::telegram()).await.unwrap_err().to_string();
        assert!(refused.ends_with("key exchange: the server holds none of the RSA keys known here"), "{refused}");
    }
}
