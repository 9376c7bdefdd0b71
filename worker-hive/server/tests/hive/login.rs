//! `worker-hive login` as a person at a terminal and as a script use it, against a simulated Telegram.

use crate::rig::{TOKEN, film, world};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::Terminal;
use mtproto::{AccountInfo, SessionFolder};
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};
use telegram_sim::{Account, Fault, Rule, Sim, World, rsa_public_pem};
use tempfile::TempDir;

const HASH: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "correct horse";
const PHONE: &str = "999660000001";
const FAR: &str = "999660000004";
const BOT: &str = "7000000001:the-bots-secret";

struct Desk {
    sim: Sim,
    folder: TempDir,
}

fn people() -> World {
    let mut bot = Account::bot("bot", 7_000_000_001);
    bot.bot_token = Some(BOT.to_owned());
    let mut locked = Account::user("locked", 5_000_000_001).premium().with_password(PASSWORD, Some("an animal"));
    locked.code = Some("24680".to_owned());
    world(vec![locked, Account::user("far", 5_000_000_004).at_home_on(4), bot], vec![film(2, 1000)])
}

impl Desk {
    fn new() -> Self {
        Self::with(people())
    }

    fn with(world: World) -> Self {
        let desk = Self { sim: Sim::start(world).unwrap(), folder: tempfile::tempdir().unwrap() };
        let root = desk.folder.path().display();
        let centre = |id: i32| format!("{{ id = {id}, address = \"{}\" }}", desk.sim.dc_addr(id).unwrap());
        let text = format!(
            "token = \"{TOKEN}\"\n[store]\nfolder = \"{root}/store\"\n[log]\nlevel = \"trace\"\n\
             [telegram]\napi_id = 1\nrsa_keys = \"{root}/rsa.pem\"\ndata_centres = [{}, {}]\n",
            centre(2),
            centre(4)
        );
        desk.write("hive.toml", &text);
        desk.write("rsa.pem", &rsa_public_pem());
        desk.write("hash", &format!("{HASH}\n"));
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::File::create(self.folder.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker-hive"));
        command.args(["login", "--config", "hive.toml"]).args(arguments).current_dir(self.folder.path());
        command
    }

    fn terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::run(&self.command(arguments))
    }

    /// As a script does it: every answer is there from the beginning.
    fn script(&self, arguments: &[&str], answers: &str) -> (i32, String, String) {
        let mut command = self.command(arguments);
        command.args(["--api-hash-file", "hash"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        match child.stdin.take().unwrap().write_all(answers.as_bytes()) {
            // It need not wait for answers that it doesn't ask for.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        for hidden in [HASH, PASSWORD, "the-bots-secret", "24680"] {
            assert!(!out.contains(hidden) && !err.contains(hidden), "{hidden}: {out}{err}");
        }
        (status.code().unwrap(), out, err)
    }

    fn sessions(&self) -> Vec<AccountInfo> {
        let folder = SessionFolder::open(&self.folder.path().join("store")).unwrap();
        folder.accounts().unwrap().iter().map(|name| folder.describe(name).unwrap()).collect()
    }

    /// Nothing in the store, nor half of it.
    fn assert_nothing_stored(&self) {
        let files: Vec<_> = std::fs::read_dir(self.folder.path().join("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "lock")
            .collect();
        assert!(files.is_empty(), "{files:?}");
    }
}

#[test]
fn a_person_signs_in_with_code_and_password() {
    let desk = Desk::new();
    let mut screen = desk.terminal(&["--name", "films-1"]);
    screen.wait_for("API hash: ");
    assert!(!screen.echoes());
    screen.type_line(HASH);
    screen.wait_for("Sign in with (phone, bot or qr): ");
    assert!(screen.echoes());
    screen.type_line("fax");
    screen.wait_for("one of: phone, bot, qr");
    screen.wait_for("Sign in with (phone, bot or qr): ");
    screen.type_line("phone");
    screen.wait_for("Phone number (with country code): ");
    screen.type_line("12");
    screen.wait_for("that is no phone number");
    screen.wait_for("Phone number (with country code): ");
    screen.type_line(" +99966 0000001 ");
    screen.wait_for("A code of 5 digits was sent to the account's Telegram apps.");
    screen.wait_for("Code (nothing: send it another way): ");
    screen.type_line("");
    screen.wait_for("was sent by text message.");
    screen.wait_for("Code: ");
    screen.type_line("11111");
    screen.wait_for("that is not the code that was sent");
    screen.wait_for("Code: ");
    screen.type_line("24680");
    screen.wait_for("Password (hint: an animal): ");
    assert!(!screen.echoes());
    screen.type_line("wrong horse");
    screen.wait_for("that is not the account's password");
    screen.wait_for("Password (hint: an animal): ");
    screen.type_line(PASSWORD);
    screen.wait_for("signed in films-1: premium user 5000000001 @locked, data-centre 2");
    assert!(screen.echoes());
    let (status, all) = screen.end();
    assert!(status.success(), "{all}");
    assert!(all.contains("24680"), "a code is shown as it is typed");
    for hidden in [HASH, PASSWORD, "wrong horse"] {
        assert!(!all.contains(hidden), "{all}");
    }
    let sessions = desk.sessions();
    assert_eq!((sessions.len(), sessions[0].account.as_str(), sessions[0].premium), (1, "films-1", Some(true)));
}

#[test]
fn a_sign_in_that_is_called_off_leaves_nothing_behind() {
    let desk = Desk::new();
    let before = desk.sim.world().signed_in_keys("locked").unwrap();
    let mut screen = desk.terminal(&["--phone", PHONE, "--api-hash-file", "hash"]);
    screen.wait_for("Code (nothing: send it another way): ");
    assert_eq!(desk.sim.world().open_codes(), 1);
    screen.press_ctrl_c();
    let (status, all) = screen.end();
    assert!(status.code() == Some(1) && all.contains("stopped; nothing was stored"), "{all}");
    assert_eq!(desk.sim.world().open_codes(), 0, "the code is taken back");

    let mut screen = desk.terminal(&["--phone", PHONE, "--api-hash-file", "hash"]);
    screen.wait_for("Code (nothing: send it another way): ");
    screen.type_line("24680");
    screen.wait_for("Password (hint: an animal): ");
    assert!(!screen.echoes());
    screen.press_ctrl_c();
    screen.wait_for("stopped; nothing was stored");
    assert!(screen.echoes(), "the terminal is as it was");
    assert_eq!(screen.end().0.code(), Some(1));
    assert_eq!(desk.sim.world().signed_in_keys("locked").unwrap(), before);
    desk.assert_nothing_stored();
}

/// The last whole link on the screen, as a camera would see it.
fn token_of(text: &str) -> Vec<u8> {
    let link = text.rsplit("tg://login?token=").next().unwrap().lines().next().unwrap();
    URL_SAFE_NO_PAD.decode(link.trim()).unwrap()
}

#[test]
fn a_qr_code_is_drawn_again_until_it_is_accepted() {
    let desk = Desk::with(World { login_token_seconds: 1, ..people() });
    let mut screen = desk.terminal(&["--qr", "--api-hash-file", "hash"]);
    screen.wait_for("point it at this:");
    screen.wait_for("tg://login?token=");
    let first = token_of(&format!("tg://login?token={}", screen.wait_for("\n")));
    let mut tokens = vec![first];
    // Whoever is slow with the phone finds the next one.
    loop {
        let drawn = screen.wait_for("tg://login?token=");
        assert!(drawn.contains("\u{1b}[J") && drawn.contains('▀'), "{drawn}");
        tokens.push(token_of(&format!("tg://login?token={}", screen.wait_for("\n"))));
        let newest = tokens.last().unwrap();
        if tokens.len() > 2 && desk.sim.world().accept_login_token("far", Some(newest)).is_ok() {
            break;
        }
    }
    assert!(tokens.windows(2).all(|pair| pair[0] != pair[1]));
    screen.wait_for("signed in user-5000000004: user 5000000004 @far, data-centre 4");
    assert!(screen.end().0.success());
    assert_eq!((desk.sessions()[0].home_dc, desk.sessions()[0].premium), (4, Some(false)));
}

#[test]
fn a_qr_code_of_an_account_with_a_password_asks_for_it() {
    let desk = Desk::new();
    let mut screen = desk.terminal(&["--qr", "--api-hash-file", "hash"]);
    screen.wait_for("tg://login?token=");
    let token = token_of(&format!("tg://login?token={}", screen.wait_for("\n")));
    desk.sim.world().accept_login_token("locked", Some(&token)).unwrap();
    screen.wait_for("Password (hint: an animal): ");
    screen.type_line(PASSWORD);
    screen.wait_for("signed in user-5000000001: premium user");
    assert!(screen.end().0.success());
}

#[test]
fn a_script_signs_a_bot_in() {
    let desk = Desk::new();
    let (code, out, err) = desk.script(&["--bot"], &format!("7000000001:wrong\n{BOT}\n"));
    assert_eq!(out, "signed in bot-7000000001: bot 7000000001 @bot_bot, data-centre 2\n", "{err}");
    assert!(code == 0 && err.contains("Telegram knows no bot with that token"), "{err}");
    assert!(desk.sessions()[0].bot);
}

#[test]
fn a_script_signs_a_user_in_who_lives_elsewhere() {
    let desk = Desk::new();
    let (code, out, err) = desk.script(&["--phone", FAR], "12345\n");
    assert_eq!((code, out.as_str()), (0, "signed in user-5000000004: user 5000000004 @far, data-centre 4\n"), "{err}");
    let mut terminal = desk.command(&["--phone", "--api-id", "7"]);
    let run = terminal.env("STREAMVAULT_API_HASH", HASH).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = run.stdout(Stdio::piped()).spawn().unwrap();
    let answers = format!("{PHONE}\r\n24680\r\n{PASSWORD}\r\n");
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ids: Vec<_> = desk.sessions().iter().map(|session| (session.user_id, session.api_id)).collect();
    assert_eq!(ids, [(5_000_000_001, 7), (5_000_000_004, 1)]);
}

#[test]
fn what_goes_wrong_is_told_and_nothing_is_stored() {
    let desk = Desk::new();
    let wrong_codes = "1\n2\n3\n4\n";
    let flood = |method: &str| Some(Rule::on(method, Fault::FloodWait(77)));
    let cases = [
        (vec!["--phone", PHONE], wrong_codes, None, "too many wrong answers"),
        (vec!["--phone", PHONE], "24680\na\nb\nc\nd\n", None, "too many wrong answers"),
        (vec!["--phone", "123"], "", None, "that is no phone number"),
        (vec!["--phone", "4915112345678"], "12345\n", None, "there is no account with that phone number"),
        (vec!["--phone", PHONE], "24680\n", None, "the input ended before `Password` was answered"),
        (vec!["--bot"], "a\nb\nc\n", None, "too many wrong answers"),
        (vec!["--bot"], "", None, "the input ended before `Bot token` was answered"),
        (vec!["--bot", "--name", "no/name"], "", None, "1 to 64 characters"),
        (vec!["--phone", FAR], "", flood("auth.sendCode"), "Telegram asks to wait 77 s before the next try"),
        (vec!["--phone", FAR], "12345\n", flood("auth.signIn"), "Telegram asks to wait 77 s before the next try"),
        (vec!["--bot"], BOT, flood("users.getUsers"), "Telegram asks to wait 77 s before the next try"),
    ];
    for (arguments, answers, fault, expected) in cases {
        let before = desk.sim.world().signed_in_keys("bot").unwrap();
        desk.sim.faults().clear();
        if let Some(rule) = fault {
            desk.sim.faults().add(rule);
        }
        let (code, out, err) = desk.script(&arguments, answers);
        assert!(code == 1 && out.is_empty() && err.contains(expected), "{arguments:?}: {out}{err}");
        assert_eq!(desk.sim.world().open_codes(), 0, "{arguments:?}: {err}");
        assert_eq!(desk.sim.world().signed_in_keys("bot").unwrap(), before, "{arguments:?}");
        desk.assert_nothing_stored();
    }
}

#[test]
fn a_session_is_replaced_when_that_is_asked_for_and_not_else() {
    let desk = Desk::new();
    let bot = ["--bot", "--name", "films"];
    assert_eq!(desk.script(&bot, BOT).0, 0);
    let asked = desk.sim.counters().snapshot().calls("auth.importBotAuthorization");
    let (code, _, err) = desk.script(&bot, BOT);
    assert!(code == 1 && err.contains("there is a session named `films` already"), "{err}");
    let again = desk.sim.counters().snapshot().calls("auth.importBotAuthorization");
    assert_eq!(asked, again, "nobody is asked for anything in vain");
    let replace = ["--phone", FAR, "--name", "films", "--replace"];
    assert_eq!(desk.script(&replace, "99999\n").0, 1);
    assert!(desk.sessions()[0].bot, "a sign-in that fails replaces nothing");
    let (code, _, err) = desk.script(&["--bot", "--name", "other"], BOT);
    assert!(code == 0 && err.contains("note: `films` is a session of the same account"), "{err}");
    let folder = SessionFolder::open(&desk.folder.path().join("store")).unwrap();
    let lock = folder.lock().unwrap();
    let (code, _, err) = desk.script(&replace, "12345\n");
    assert!(code == 1 && err.contains("in use by another run"), "{err}");
    drop(lock);
    let (code, out, err) = desk.script(&replace, "12345\n");
    assert!(code == 0 && out.starts_with("signed in films: user 5000000004"), "{out}{err}");
    let sessions = desk.sessions();
    assert_eq!((sessions.len(), sessions[0].user_id), (2, 5_000_000_004));
}

#[test]
fn telegrams_own_keys_are_the_default() {
    let desk = Desk::new();
    let text = std::fs::read_to_string(desk.folder.path().join("hive.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("rsa_keys")).collect();
    desk.write("hive.toml", &lines.join("\n"));
    let (code, _, err) = desk.script(&["--bot"], BOT);
    assert!(code == 1 && err.contains("the server holds none of the RSA keys known here"), "{err}");
    desk.assert_nothing_stored();
}
