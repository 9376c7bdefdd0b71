//! Every kind of sign-in against the simulated data-centre, and what the session is good for afterwards.

use crate::account::Account;
use crate::ask::Ask;
use crate::config::ClientConfig;
use crate::fault::CallFault;
use crate::folder::SessionFolder;
use crate::login::{Application, CodeSent, CodeWay, FIRST_DC, Login, Progress, SignedIn};
use crate::login_fault::LoginFault;
use crate::login_token::TokenStep;
use crate::media::MessageRef;
use crate::rsa::RsaKeys;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use telegram_sim::{Account as Person, Channel, Document, Fault, Reachability, Rule, Sim, When, World, rsa_public_pem};

const PHONE: &str = "+99966 0000001";
const FAR: &str = "999660000004";
const CHANNEL: i64 = 1_700_000_001;

fn world() -> World {
    World::new(1)
        .with_account(Person::user("locked", 5_000_000_001).premium().with_password("correct horse", Some("an animal")))
        .with_account(Person::user("far", 5_000_000_004).at_home_on(4))
        .with_account(Person::bot("bot", 7_000_000_001))
        .with_account(Person::bot("far-bot", 7_000_000_004).at_home_on(4))
        .with_channel(
            Channel::new(CHANNEL, "Films")
                .with_document(2, Document::generated("near.mkv", 2, 100_000, 1))
                .with_document(4, Document::generated("far.mkv", 4, 100_000, 2)),
        )
}

fn config(sim: &Sim) -> Arc<ClientConfig> {
    Arc::new(ClientConfig {
        addresses: Arc::new([2, 4].map(|dc| (dc, sim.dc_addr(dc).unwrap())).into()),
        rsa_keys: RsaKeys::from_pem(&rsa_public_pem()).unwrap(),
        connections: 1,
        reconnect_first: Duration::from_millis(20),
        ..ClientConfig::default()
    })
}

fn login(sim: &Sim) -> Login {
    Login::new(config(sim), Application { id: 1, hash: "the-hash".into() }, FIRST_DC)
}

fn secret(text: &str) -> SecretString {
    text.into()
}

fn needed(hint: &str) -> Progress {
    Progress::PasswordNeeded { hint: Some(hint.to_owned()) }
}

/// Stores the session, opens it as the hive would, and fetches a film at home and one abroad.
async fn lives(sim: &Sim, signed_in: SignedIn) {
    let folder = tempfile::tempdir().unwrap();
    let sessions = SessionFolder::open(folder.path()).unwrap();
    sessions.import(&signed_in.seed).unwrap();
    let name = &signed_in.seed.account;
    let info = sessions.describe(name).unwrap();
    assert_eq!((info.user_id, info.bot, info.premium), (signed_in.user_id, signed_in.bot, Some(signed_in.premium)));
    sim.counters().reset();
    let account = Account::open(&sessions, name, config(sim)).unwrap();
    account.bring_up().await.unwrap();
    for message_id in [2, 4] {
        let message = MessageRef { chat_id: -1_000_000_000_000 - CHANNEL, message_id };
        let location = account.locate(message).await.unwrap();
        let bytes = account.get_chunk(&location, 0, 65_536, &Ask::new(false)).await.unwrap();
        assert_eq!(bytes.len(), 65_536);
    }
    let counts = sim.counters().snapshot();
    assert_eq!(counts.calls("auth.sendCode") + counts.calls("auth.signIn"), 0, "no new code");
    assert_eq!(counts.calls("auth.exportAuthorization"), 1, "for the other data-centre, with a key of its own");
}

#[tokio::test]
async fn a_user_with_code_and_password_after_wrong_ones() {
    let sim = Sim::start(world()).unwrap();
    let before = sim.world().signed_in_keys("locked").unwrap();
    let mut login = login(&sim);
    assert_eq!(login.send_code("123").await, Err(LoginFault::PhoneInvalid));
    let sent = login.send_code(PHONE).await.unwrap();
    assert_eq!(sent, CodeSent { way: CodeWay::App, length: Some(5), again: true });
    assert_eq!(login.sign_in(&secret("99999")).await, Err(LoginFault::CodeInvalid));
    assert_eq!(login.sign_in(&secret("")).await, Err(LoginFault::CodeInvalid));
    assert_eq!(login.sign_in(&secret(" 12345 ")).await, Ok(needed("an animal")));
    assert_eq!(login.password(&secret("wrong horse")).await, Err(LoginFault::PasswordInvalid));
    assert_eq!(sim.world().signed_in_keys("locked").unwrap(), before);
    assert_eq!(login.password(&secret("correct horse")).await, Ok(Progress::SignedIn));
    let signed_in = login.finish().await.unwrap();
    assert_eq!((signed_in.user_id, signed_in.bot, signed_in.premium), (5_000_000_001, false, true));
    assert_eq!((signed_in.display.as_str(), signed_in.home_dc), ("@locked", 2));
    lives(&sim, signed_in).await;
}

#[tokio::test]
async fn accounts_are_followed_to_their_home() {
    let sim = Sim::start(world()).unwrap();
    let mut user = login(&sim);
    user.send_code(FAR).await.unwrap();
    assert_eq!(user.sign_in(&secret("12345")).await, Ok(Progress::SignedIn));
    let signed_in = user.finish().await.unwrap();
    assert_eq!((signed_in.home_dc, signed_in.premium), (4, false));
    lives(&sim, signed_in).await;

    let mut bot = login(&sim);
    assert_eq!(bot.bot(&secret("7000000004:wrong")).await, Err(LoginFault::TokenInvalid));
    assert_eq!(bot.bot(&secret("7000000004:far-bot\n")).await, Ok(Progress::SignedIn));
    let signed_in = bot.finish().await.unwrap();
    assert_eq!((signed_in.home_dc, signed_in.bot, signed_in.seed.account.as_str()), (4, true, "bot-7000000004"));
    lives(&sim, signed_in).await;
}

async fn shown(login: &mut Login) -> Vec<u8> {
    let TokenStep::Show(token) = login.token().await.unwrap() else { panic!("a token") };
    assert!(!format!("{token:?}").contains("tg://"));
    let link = token.link.expose_secret().to_owned();
    URL_SAFE_NO_PAD.decode(link.strip_prefix("tg://login?token=").unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_is_accepted_elsewhere() {
    let sim = Sim::start(world()).unwrap();
    let mut here = login(&sim);
    let (first, second) = (shown(&mut here).await, shown(&mut here).await);
    assert_ne!(first, second, "each time another");
    sim.world().accept_login_token("far", Some(&second)).unwrap();
    let TokenStep::Accepted(Progress::SignedIn) = here.token().await.unwrap() else { panic!("accepted") };
    let signed_in = here.finish().await.unwrap();
    assert_eq!((signed_in.user_id, signed_in.home_dc), (5_000_000_004, 4));
    lives(&sim, signed_in).await;

    let mut here = login(&sim);
    shown(&mut here).await;
    sim.world().accept_login_token("locked", None).unwrap();
    let TokenStep::Accepted(progress) = here.token().await.unwrap() else { panic!("accepted") };
    assert_eq!(progress, needed("an animal"));
    assert_eq!(here.password(&secret("correct horse")).await, Ok(Progress::SignedIn));
}

#[tokio::test]
async fn an_accepted_token_is_heard_of_long_before_its_time_is_up() {
    let sim = Sim::start(World { login_token_seconds: 3600, ..world() }).unwrap();
    let mut login = login(&sim);
    let TokenStep::Show(token) = login.token().await.unwrap() else { panic!("a token") };
    sim.world().accept_login_token("far", None).unwrap();
    // Shown for up to a minute: a test that waits for that fails.
    let heard = login.heard_of_token(token.valid);
    assert!(tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap());
    assert!(matches!(login.token().await, Ok(TokenStep::Accepted(Progress::SignedIn))));
}

#[tokio::test]
async fn waits_and_what_telegram_refuses_are_told() {
    let sim = Sim::start(World { codes_per_hour: 1, ..world() }).unwrap();
    let mut login = login(&sim);
    login.send_code(PHONE).await.unwrap();
    match login.send_code(PHONE).await {
        Err(LoginFault::Flood { seconds }) => assert!((3500..=3600).contains(&seconds), "{seconds}"),
        other => panic!("{other:?}"),
    }
    sim.world().expire_codes();
    assert_eq!(login.sign_in(&secret("12345")).await, Err(LoginFault::CodeExpired));
    login.send_code("4915112345678").await.unwrap();
    assert_eq!(login.sign_in(&secret("12345")).await, Err(LoginFault::PhoneUnknown));
    for (error, fault) in [
        ("API_ID_INVALID", LoginFault::ApiInvalid),
        ("PHONE_NUMBER_BANNED", LoginFault::PhoneBanned),
        ("STRANGE", LoginFault::Call(CallFault::Other("STRANGE".to_owned()))),
    ] {
        sim.faults().clear();
        sim.faults().add(Rule::on("auth.sendCode", Fault::Error(400, error.to_owned())));
        assert_eq!(login.send_code(FAR).await, Err(fault));
    }
}

#[tokio::test]
async fn what_was_begun_is_taken_back() {
    let sim = Sim::start(world()).unwrap();
    let mut begun = login(&sim);
    begun.send_code(PHONE).await.unwrap();
    assert_eq!(sim.world().open_codes(), 1);
    begun.abandon().await;
    assert_eq!(sim.world().open_codes(), 0);

    let before = sim.world().signed_in_keys("bot").unwrap();
    let mut done = login(&sim);
    done.bot(&secret("7000000001:bot")).await.unwrap();
    assert_eq!(sim.world().signed_in_keys("bot").unwrap(), before + 1);
    done.abandon().await;
    assert_eq!(sim.world().signed_in_keys("bot").unwrap(), before);
    done.abandon().await;
    assert_eq!(sim.counters().snapshot().calls("auth.logOut"), 1, "once");
}

#[tokio::test]
async fn a_connection_that_goes_while_somebody_looks_for_the_code_is_made_again() {
    let sim = Sim::start(world()).unwrap();
    let mut login = login(&sim);
    login.send_code(FAR).await.unwrap();
    sim.set_reachability(4, Reachability::Refused);
    sim.set_reachability(4, Reachability::Up);
    sim.faults().add(Rule::on("auth.signIn", Fault::Drop).when(When::Nth(1)));
    // The listener comes back on its own time.
    let progress = loop {
        match login.sign_in(&secret("12345")).await {
            Err(LoginFault::Call(CallFault::Dropped(_))) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    assert_eq!(progress, Ok(Progress::SignedIn));
}

#[tokio::test]
async fn a_step_whose_answer_is_lost_is_not_taken_twice() {
    let sim = Sim::start(world()).unwrap();
    let config = ClientConfig { call_timeout: Duration::from_millis(500), ..(*config(&sim)).clone() };
    let mut login = Login::new(Arc::new(config), Application { id: 1, hash: "the-hash".into() }, FIRST_DC);
    login.send_code(FAR).await.unwrap();
    for (fault, told) in [(Fault::Silence, CallFault::Timeout), (Fault::Drop, CallFault::Dropped(String::new()))] {
        let before = sim.counters().snapshot().calls("auth.signIn");
        sim.faults().clear();
        sim.faults().add(Rule::on("auth.signIn", fault).when(When::Nth(1)));
        let answer = login.sign_in(&secret("12345")).await;
        let Err(LoginFault::Call(fault)) = answer else { panic!("{answer:?}") };
        assert_eq!((fault.kind(), sim.counters().snapshot().calls("auth.signIn")), (told.kind(), before + 1));
    }
    assert_eq!(login.sign_in(&secret("12345")).await, Ok(Progress::SignedIn));
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let sim = Sim::start(world()).unwrap();
    let mut login = login(&sim);
    login.send_code(PHONE).await.unwrap();
    let fault = login.sign_in(&secret("99999")).await.unwrap_err();
    let text = format!("{login:?} {fault:?} {fault} {:?}", config(&sim));
    for hidden in ["99999", "the-hash", "0000001", "BEGIN RSA"] {
        assert!(!text.contains(hidden), "{text}");
    }
}
