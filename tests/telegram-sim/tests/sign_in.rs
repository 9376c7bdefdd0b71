//! Signing in with codes, passwords and login tokens, as an unmodified grammers client sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

mod common;

use common::{Client, Failed, rpc};
use grammers_crypto::two_factor_auth::{calculate_2fa, check_p_and_g};
use grammers_tl_types::{enums, functions, types};
use telegram_sim::{Account, Fault, Rule, Sim, World};

const PHONE: &str = "999660000001";
const FAR: &str = "999660000004";

fn world() -> World {
    let mut user = Account::user("user-1", 5_000_000_001).premium().with_password("correct horse", Some("an animal"));
    user.code = Some("54321".to_owned());
    World::new(1).with_account(user).with_account(Account::user("far", 5_000_000_004).at_home_on(4))
}

/// A client whose keys nobody is signed in with.
fn stranger(sim: &Sim) -> Client {
    let mut seed = sim.seeds().remove(0);
    for dc in [2, 4] {
        let key = sim.world().new_key(dc).unwrap();
        seed.auth_keys.insert(dc, key.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    Client::from_seed(seed)
}

fn send(phone: &str) -> functions::auth::SendCode {
    let settings = types::CodeSettings {
        allow_flashcall: false,
        current_number: false,
        allow_app_hash: false,
        allow_missed_call: false,
        allow_firebase: false,
        unknown_number: false,
        logout_tokens: None,
        token: None,
        app_sandbox: None,
    };
    let (phone_number, api_hash) = (phone.to_owned(), "x".to_owned());
    functions::auth::SendCode { phone_number, api_id: 1, api_hash, settings: settings.into() }
}

fn sign_in(phone: &str, hash: &str, code: &str) -> functions::auth::SignIn {
    functions::auth::SignIn {
        phone_number: phone.to_owned(),
        phone_code_hash: hash.to_owned(),
        phone_code: Some(code.to_owned()),
        email_verification: None,
    }
}

async fn code_hash(client: &Client, dc: i32, phone: &str) -> Result<String, Failed> {
    match client.call_on(dc, &send(phone)).await? {
        enums::auth::SentCode::Code(sent) => Ok(sent.phone_code_hash),
        other => Err(Failed::Other(format!("{other:?}"))),
    }
}

/// What a client answers to the server's question, given a password.
async fn proof(client: &Client, password: &str) -> types::InputCheckPasswordSrp {
    let enums::account::Password::Password(asked) = client.call(&functions::account::GetPassword {}).await.unwrap();
    assert_eq!((asked.has_password, asked.hint.as_deref()), (true, Some("an animal")));
    let Some(enums::PasswordKdfAlgo::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow(algo)) = asked.current_algo
    else {
        panic!("an algorithm")
    };
    let (g_b, random) = (asked.srp_b.unwrap(), vec![0x5a; 256]);
    let (m1, a) = calculate_2fa(&algo.salt1, &algo.salt2, &algo.p, &algo.g, g_b, random, password);
    types::InputCheckPasswordSrp { srp_id: asked.srp_id.unwrap(), a: a.to_vec(), m1: m1.to_vec() }
}

async fn check(client: &Client, proof: types::InputCheckPasswordSrp) -> Result<(), Failed> {
    client.call(&functions::auth::CheckPassword { password: proof.into() }).await.map(drop)
}

const STATE: functions::updates::GetState = functions::updates::GetState {};

#[tokio::test]
async fn a_password_is_asked_for_after_the_code() {
    let sim = Sim::start(world()).unwrap();
    let client = stranger(&sim);
    assert_eq!(
        client.call(&functions::account::GetPassword {}).await.map(drop),
        Err(rpc(401, "AUTH_KEY_UNREGISTERED")),
        "nobody learns a hint without the code"
    );
    let hash = code_hash(&client, 2, PHONE).await.unwrap();
    assert_eq!(client.call(&sign_in(PHONE, &hash, "12345")).await.map(drop), Err(rpc(400, "PHONE_CODE_INVALID")));
    let needed = Err(rpc(401, "SESSION_PASSWORD_NEEDED"));
    assert_eq!(client.call(&sign_in(PHONE, &hash, "54321")).await.map(drop), needed);
    assert_eq!(client.call(&STATE).await.map(drop), Err(rpc(401, "AUTH_KEY_UNREGISTERED")));

    let wrong = proof(&client, "wrong horse").await;
    assert_eq!(check(&client, wrong.clone()).await, Err(rpc(400, "PASSWORD_HASH_INVALID")));
    assert_eq!(check(&client, wrong).await, Err(rpc(400, "SRP_ID_INVALID")), "a question is answered once");
    let right = proof(&client, "correct horse").await;
    check(&client, right).await.unwrap();
    assert!(client.call(&STATE).await.is_ok());
    assert_eq!(sim.world().signed_in_keys("user-1").unwrap(), 2, "the seeded one and this one");
}

#[tokio::test]
async fn guessing_passwords_becomes_a_flood() {
    let sim = Sim::start(world()).unwrap();
    let client = stranger(&sim);
    let hash = code_hash(&client, 2, PHONE).await.unwrap();
    assert!(client.call(&sign_in(PHONE, &hash, "54321")).await.is_err());
    for _ in 0..5 {
        let wrong = proof(&client, "wrong horse").await;
        assert_eq!(check(&client, wrong).await, Err(rpc(400, "PASSWORD_HASH_INVALID")));
    }
    let right = proof(&client, "correct horse").await;
    assert_eq!(check(&client, right).await, Err(rpc(420, "FLOOD_WAIT_60")));
}

#[tokio::test]
async fn codes_are_sent_again_taken_back_and_limited() {
    let sim = Sim::start(World { codes_per_hour: 3, ..world() }).unwrap();
    let client = stranger(&sim);
    let hash = code_hash(&client, 2, PHONE).await.unwrap();
    let phone = || PHONE.to_owned();
    let resend = functions::auth::ResendCode { phone_number: phone(), phone_code_hash: hash.clone(), reason: None };
    let enums::auth::SentCode::Code(again) = client.call(&resend).await.unwrap() else { panic!("a code") };
    assert!(matches!(again.r#type, enums::auth::SentCodeType::Sms(_)));
    assert_eq!(client.call(&resend).await.map(drop), Err(rpc(400, "PHONE_CODE_EXPIRED")));
    let expired = Err(rpc(400, "PHONE_CODE_EXPIRED"));
    assert_eq!(client.call(&sign_in(PHONE, &hash, "54321")).await.map(drop), expired, "the first one is void");
    let cancel = functions::auth::CancelCode { phone_number: phone(), phone_code_hash: again.phone_code_hash };
    assert_eq!(sim.world().open_codes(), 1);
    assert!(client.call(&cancel).await.unwrap());
    assert_eq!(sim.world().open_codes(), 0);

    let hash = code_hash(&client, 2, PHONE).await.unwrap();
    sim.world().expire_codes();
    assert_eq!(client.call(&sign_in(PHONE, &hash, "54321")).await.map(drop), expired);
    match code_hash(&client, 2, PHONE).await {
        Err(Failed::Rpc(420, name)) => assert!(name.starts_with("FLOOD_WAIT_3"), "{name}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn numbers_have_a_home_or_none() {
    let sim = Sim::start(world()).unwrap();
    let client = stranger(&sim);
    for bad in ["12345", "+49 abc 1234567", "1234567890123456"] {
        assert_eq!(code_hash(&client, 2, bad).await, Err(rpc(400, "PHONE_NUMBER_INVALID")), "{bad}");
    }
    assert_eq!(code_hash(&client, 2, FAR).await, Err(rpc(303, "PHONE_MIGRATE_4")));
    let hash = code_hash(&client, 4, FAR).await.unwrap();
    client.call_on(4, &sign_in(FAR, &hash, "12345")).await.map(drop).unwrap();
    let nobody = "4915112345678";
    let hash = code_hash(&client, 2, nobody).await.unwrap();
    let unoccupied = Err(rpc(400, "PHONE_NUMBER_UNOCCUPIED"));
    assert_eq!(client.call(&sign_in(nobody, &hash, "12345")).await.map(drop), unoccupied);
    let flood = Rule::on("auth.sendCode", Fault::FloodWait(77));
    sim.faults().add(flood);
    assert_eq!(code_hash(&client, 2, PHONE).await, Err(rpc(420, "FLOOD_WAIT_77")));
}

fn export() -> functions::auth::ExportLoginToken {
    functions::auth::ExportLoginToken { api_id: 1, api_hash: "x".to_owned(), except_ids: Vec::new() }
}

async fn token(client: &Client) -> Vec<u8> {
    match client.call(&export()).await.unwrap() {
        enums::auth::LoginToken::Token(shown) => shown.token,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_is_accepted_by_another_session_and_followed_to_its_home() {
    let sim = Sim::start(world()).unwrap();
    let client = stranger(&sim);
    let shown = token(&client).await;
    let far = Client::of(&sim, "far");
    let accept = functions::auth::AcceptLoginToken { token: shown.clone() };
    far.call_on(4, &accept).await.map(drop).unwrap();
    let again = far.call_on(4, &accept).await.map(drop);
    assert_eq!(again, Err(rpc(400, "AUTH_TOKEN_ALREADY_ACCEPTED")));
    let enums::auth::LoginToken::MigrateTo(moved) = client.call(&export()).await.unwrap() else { panic!("moved") };
    assert_eq!(moved.dc_id, 4);
    let import = functions::auth::ImportLoginToken { token: moved.token };
    let enums::auth::LoginToken::Success(_) = client.call_on(4, &import).await.unwrap() else { panic!("success") };
    assert!(client.call_on(4, &STATE).await.is_ok());
    assert_eq!(client.call_on(4, &import).await.map(drop), Err(rpc(400, "AUTH_TOKEN_INVALID")), "taken once");
}

#[tokio::test]
async fn a_token_of_an_account_with_a_password_asks_for_it() {
    let sim = Sim::start(world()).unwrap();
    let client = stranger(&sim);
    let shown = token(&client).await;
    sim.world().accept_login_token("user-1", Some(&shown)).unwrap();
    assert_eq!(client.call(&export()).await.map(drop), Err(rpc(401, "SESSION_PASSWORD_NEEDED")));
    let right = proof(&client, "correct horse").await;
    check(&client, right).await.unwrap();
    assert!(client.call(&STATE).await.is_ok());
}

#[tokio::test]
async fn tokens_end() {
    let sim = Sim::start(World { login_token_seconds: 0, ..world() }).unwrap();
    let client = stranger(&sim);
    let far = Client::of(&sim, "far");
    let accept = |token: Vec<u8>| functions::auth::AcceptLoginToken { token };
    let expired = token(&client).await;
    assert_eq!(far.call_on(4, &accept(expired)).await.map(drop), Err(rpc(400, "AUTH_TOKEN_EXPIRED")));
    let unknown = far.call_on(4, &accept(vec![1; 32])).await.map(drop);
    assert_eq!(unknown, Err(rpc(400, "AUTH_TOKEN_INVALID")));
}

#[test]
fn the_group_is_one_that_clients_accept() {
    let sim = Sim::start(world()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(async {
        let client = stranger(&sim);
        let hash = code_hash(&client, 2, PHONE).await.unwrap();
        assert!(client.call(&sign_in(PHONE, &hash, "54321")).await.is_err());
        let enums::account::Password::Password(asked) = client.call(&functions::account::GetPassword {}).await.unwrap();
        asked
    });
    let Some(enums::PasswordKdfAlgo::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow(algo)) = asked.current_algo
    else {
        panic!("an algorithm")
    };
    assert!(check_p_and_g(&algo.p, &algo.g));
}
