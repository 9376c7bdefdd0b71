//! Against a real redis-server: messages reach all, none is lost unseen, and a Redis without a memory is one that was away.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use async_trait::async_trait;
use broadcast::{Away, Broadcast, Cursor, Listener, Posted, Taken};
use parking_lot::Mutex;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

struct Server {
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Server {
    async fn start() -> Self {
        let mut server = Self { folder: tempfile::tempdir().unwrap(), process: None };
        server.run().await;
        server
    }

    async fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        self.process = Some(process);
        eventually("redis-server answers", async || {
            tokio::net::UnixStream::connect(self.folder.path().join("redis.sock")).await.is_ok()
        })
        .await;
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn gateway(&self, place: &str) -> Gateway {
        let url = format!("redis+unix://{}/redis.sock", self.folder.path().display());
        let cursor = place.parse().unwrap_or_default();
        let way = Arc::new(Broadcast::new(&url, "test", Duration::from_millis(200), cursor).unwrap());
        let heard = Arc::new(Heard::default());
        heard.0.lock().place = place.to_owned();
        let (follower, listener) = (way.clone(), heard.clone());
        let task = tokio::spawn(async move { follower.follow(&*listener).await });
        Gateway { way, heard, task }
    }

    fn cli(&self, command: &str) {
        let words = command.split(' ');
        let done = Command::new("redis-cli")
            .arg("-s")
            .arg(self.folder.path().join("redis.sock"))
            .args(words)
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Default)]
struct Heard(Mutex<State>);

#[derive(Default)]
struct State {
    joined: u32,
    bodies: Vec<String>,
    own: u32,
    missed: u32,
    place: String,
}

#[async_trait]
impl Listener for Heard {
    async fn joined(&self) -> Result<(), Away> {
        self.0.lock().joined += 1;
        Ok(())
    }

    async fn heard(&self, body: &str, own: bool) {
        let mut state = self.0.lock();
        state.bodies.push(body.to_owned());
        state.own += u32::from(own);
    }

    async fn missed(&self) {
        self.0.lock().missed += 1;
    }

    async fn reached(&self, place: &Cursor) {
        self.0.lock().place = place.to_string();
    }
}

struct Gateway {
    way: Arc<Broadcast>,
    heard: Arc<Heard>,
    task: JoinHandle<()>,
}

impl Gateway {
    async fn has_joined(&self, times: u32) {
        eventually("it joins", async || self.heard.0.lock().joined >= times).await;
    }

    async fn hears(&self, bodies: &[&str]) {
        eventually(&format!("it hears {bodies:?}"), async || self.heard.0.lock().bodies == bodies).await;
    }

    async fn misses(&self, times: u32) {
        eventually("it learns what it missed", async || self.heard.0.lock().missed == times).await;
    }

    /// Ends the process, so to say. Gives the place that it had written down.
    async fn end(self) -> String {
        self.task.abort();
        let _ = self.task.await;
        self.heard.0.lock().place.clone()
    }

    /// Publishes, and waits until so many of so many have it.
    async fn publish(&self, body: &str, gateways: u64) {
        let number = self.way.publish(body).await.unwrap();
        let taken = self.way.taken(number, Duration::from_secs(10)).await.unwrap();
        assert_eq!(taken, Taken { by: gateways, of: gateways });
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "{what}");
}

#[tokio::test]
async fn all_hear_all_in_order_and_are_counted() {
    let server = Server::start().await;
    let (a, b) = (server.gateway(""), server.gateway(""));
    a.has_joined(1).await;
    b.has_joined(1).await;
    // Both have said that they are there.
    eventually("both are there", async || a.way.taken(0, Duration::ZERO).await.unwrap() == Taken { by: 2, of: 2 })
        .await;
    a.publish("one", 2).await;
    b.publish("two", 2).await;
    a.hears(&["one", "two"]).await;
    b.hears(&["one", "two"]).await;
    assert_eq!((a.heard.0.lock().own, b.heard.0.lock().missed), (1, 0));

    // One that was down hears what it lacks; one that comes new hears all.
    let place = b.end().await;
    a.way.publish("three").await.unwrap();
    let b = server.gateway(&place);
    b.hears(&["three"]).await;
    let c = server.gateway("");
    c.hears(&["one", "two", "three"]).await;
    assert_eq!(c.heard.0.lock().missed, 0);
}

#[tokio::test]
async fn one_that_was_away_too_long_is_told_so() {
    let server = Server::start().await;
    let (a, b) = (server.gateway(""), server.gateway(""));
    a.has_joined(1).await;
    let first = a.way.publish("first").await.unwrap();
    b.hears(&["first"]).await;
    let place = b.end().await;
    for number in 0..1_000 {
        a.way.publish(&number.to_string()).await.unwrap();
    }
    let near = server.gateway(&place);
    eventually("it hears the last", async || near.heard.0.lock().bodies.len() == 1_000).await;
    assert_eq!(near.heard.0.lock().missed, 0, "all of them are kept still");
    a.way.publish("one too many").await.unwrap();
    let far = server.gateway(&place);
    far.misses(1).await;
    a.way.publish("next").await.unwrap();
    far.hears(&["next"]).await;
    assert_eq!((far.heard.0.lock().missed, first), (1, 1));
}

#[tokio::test]
async fn a_redis_without_a_memory_is_given_its_place_back() {
    let mut server = Server::start().await;
    let (a, b) = (server.gateway(""), server.gateway(""));
    a.has_joined(1).await;
    b.has_joined(1).await;
    a.way.publish("one").await.unwrap();
    a.hears(&["one"]).await;
    b.hears(&["one"]).await;
    eventually("its place is written down", async || !b.heard.0.lock().place.is_empty()).await;
    server.stop();
    server.run().await;
    a.has_joined(2).await;
    b.has_joined(2).await;
    a.way.publish("two").await.unwrap();
    b.hears(&["one", "two"]).await;
    assert_eq!((a.heard.0.lock().missed, b.heard.0.lock().missed), (0, 0));

    // Emptied under them, without a word.
    server.cli("flushall");
    a.has_joined(3).await;
    b.has_joined(3).await;
    b.way.publish("three").await.unwrap();
    a.hears(&["one", "two", "three"]).await;
    assert_eq!((a.heard.0.lock().missed, b.heard.0.lock().missed), (0, 0));
}

#[tokio::test]
async fn who_was_behind_when_redis_lost_its_memory_learns_of_it() {
    let mut server = Server::start().await;
    let (a, b) = (server.gateway(""), server.gateway(""));
    a.has_joined(1).await;
    b.has_joined(1).await;
    a.way.publish("one").await.unwrap();
    b.hears(&["one"]).await;
    a.hears(&["one"]).await;
    let behind = b.end().await;
    a.way.publish("two").await.unwrap();
    a.hears(&["one", "two"]).await;
    eventually("its place is written down", async || a.heard.0.lock().place.starts_with("2 ")).await;
    let ahead = a.end().await;
    server.stop();
    server.run().await;
    // The one that is behind comes first, and gives Redis its place.
    let b = server.gateway(&behind);
    b.has_joined(1).await;
    assert_eq!(b.heard.0.lock().missed, 0);
    let a = server.gateway(&ahead);
    b.misses(1).await;
    a.way.publish("three").await.unwrap();
    b.hears(&["three"]).await;
    eventually("it hears on", async || a.heard.0.lock().bodies.last().is_some_and(|body| body == "three")).await;
}

#[tokio::test]
async fn without_redis_nobody_waits() {
    let mut server = Server::start().await;
    server.stop();
    let a = server.gateway("");
    assert!(a.way.publish("one").await.is_err());
    assert!(a.way.post(&[]).await.is_err());
    server.run().await;
    a.has_joined(1).await;
    eventually("it is counted", async || a.way.taken(0, Duration::ZERO).await.is_ok_and(|taken| taken.of == 1)).await;
    a.publish("two", 1).await;
    a.hears(&["two"]).await;
}

#[tokio::test]
async fn on_the_board_the_later_record_stands() {
    let server = Server::start().await;
    let a = server.gateway("");
    let post = |rank: u64, firm: bool, text: &str| Posted { key: "k".into(), rank, firm, text: text.to_owned() };
    for (record, stands) in [
        (post(2, false, "b"), "b"),
        (post(1, true, "z"), "b"),
        (post(2, false, "a"), "b"),
        (post(2, false, "c"), "c"),
        (post(2, true, "a"), "a"),
        (post(2, false, "x"), "a"),
        (post(10, false, "d\te"), "d\te"),
    ] {
        assert_eq!(a.way.post(std::slice::from_ref(&record)).await.unwrap(), [stands], "{record:?}");
    }
    server.cli("hset test:{gateways}:board k nonsense");
    assert_eq!(a.way.post(&[post(1, false, "e")]).await.unwrap(), ["e"]);
    let many: Vec<Posted> = (0..450).map(|n| Posted { key: format!("k{n}"), ..post(1, false, "x") }).collect();
    assert_eq!(a.way.post(&many).await.unwrap().len(), 451);
}

#[tokio::test]
async fn of_too_many_marks_those_that_end_first_go() {
    let server = Server::start().await;
    let way = server.gateway("").way.clone();
    let marks: Vec<(String, i64)> = (1..=1200).map(|n| (format!("m{n}"), 1000 + n)).collect();
    way.mark(&marks).await.unwrap();
    way.trim_marks(1100, 2000).await.unwrap();
    assert_eq!(way.marks(0).await.unwrap().len(), 1100, "the others have ended");
    way.trim_marks(0, 3).await.unwrap();
    let left = way.marks(0).await.unwrap();
    assert_eq!(left, [("m1198".to_owned(), 2198), ("m1199".to_owned(), 2199), ("m1200".to_owned(), 2200)]);
}
