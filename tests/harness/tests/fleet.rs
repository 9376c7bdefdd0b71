//! Several gateways over one hive: a film is fetched once, and a gateway that dies or lies costs its viewers no byte.

use bytes::Bytes;
use harness::{Client, Failure, Film, Gateway, PEERS_TOKEN, Settings, Stack};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use telegram_sim::Shape;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Slow enough that transfers are under way when something is done to them.
fn slow() -> Shape {
    Shape { account_bytes_per_second: 6 << 20, ..Shape::default() }
}

/// Every chunk of the film went over Telegram's wire once, and all of them did.
fn assert_fetched_once(stack: &Stack, film: &Film) {
    let chunks = stack.sim.counters().snapshot().chunks_of(film.document);
    let twice: Vec<_> = chunks.iter().filter(|chunk| chunk.asked != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let fetched: u64 = chunks.iter().map(|chunk| chunk.limit).sum();
    assert!(fetched >= film.size, "{fetched} of {}", film.size);
    let mut offsets: Vec<u64> = chunks.iter().map(|chunk| chunk.offset).collect();
    offsets.dedup();
    assert_eq!(offsets.len(), chunks.len(), "the same offset was asked for with two limits");
}

/// The gateway that owns the film, found out by having all of them described it.
async fn owner(stack: &Stack, fleet: &[Gateway], film: &Film) -> Result<usize, Failure> {
    for gateway in fleet {
        let answer = gateway.client.ask(Method::HEAD, &stack.link(film), &[]).await?;
        assert_eq!(answer.status, 200);
    }
    for (at, gateway) in fleet.iter().enumerate() {
        if gateway.peers("served").await? > 0.0 {
            return Ok(at);
        }
    }
    Err("nobody asked anybody".into())
}

/// Reads on to the end, and compares.
async fn rest_of(film: &Film, mut bytes: Vec<u8>, mut body: Incoming) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        bytes.extend(frame?.into_data().unwrap_or_default());
    }
    assert_eq!(bytes.len() as u64, film.size);
    film.compare(0, &bytes)
}

/// Reads the first bytes of a film.
async fn begin(stack: &Stack, gateway: &Gateway, film: &Film, most: usize) -> Result<(Vec<u8>, Incoming), Failure> {
    let (status, _, mut body) = gateway.client.open(Method::GET, &stack.link(film), &[]).await?;
    assert_eq!(status, 200);
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let frame = body.frame().await.ok_or("the body ended")??;
        bytes.extend(frame.into_data().unwrap_or_default());
    }
    Ok((bytes, body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_film_is_fetched_once_for_all_gateways() -> Result<(), Failure> {
    for count in [2, 3] {
        let settings = Settings::default().film("a.mkv", (9 << 20) + 17).film("b.mkv", 3 << 20).film("c.mkv", 12345);
        let mut stack = Stack::start(settings).await?;
        stack.gateway.take().ok_or("no gateway")?.kill().await;
        let fleet = stack.start_fleet(&vec![&[][..]; count]).await?;
        let films = stack.films.clone();
        let mut viewers = JoinSet::new();
        for film in &films {
            for gateway in fleet.iter().chain(&fleet) {
                let (client, link, film): (Client, _, _) = (gateway.client, stack.link(film), film.clone());
                viewers.spawn(async move {
                    let answer = client.ask(Method::GET, &link, &[]).await?;
                    assert_eq!((answer.status.as_u16(), &answer.broken), (200, &None));
                    assert_eq!(answer.body.len() as u64, film.size);
                    film.compare(0, &answer.body)
                });
            }
        }
        while let Some(done) = viewers.join_next().await {
            done??;
        }
        let (mut asked, mut served) = (0.0, 0.0);
        for film in &films {
            assert_fetched_once(&stack, film);
        }
        for gateway in &fleet {
            assert_eq!(gateway.peers("bypassed").await?, 0.0);
            asked += gateway.peers("asked_bytes").await?;
            served += gateway.peers("served_bytes").await?;
        }
        // Each film went to all gateways but its owner, once.
        let others = films.iter().map(|film| film.size).sum::<u64>() * (count as u64 - 1);
        assert_eq!((asked as u64, served as u64), (others, others));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_dies_or_stops_costs_no_byte() -> Result<(), Failure> {
    for signal in ["KILL", "STOP"] {
        let settings = Settings { shape: slow(), ..Settings::default() }.film("a.mkv", 24 << 20);
        let mut stack = Stack::start(settings).await?;
        stack.gateway.take().ok_or("no gateway")?.kill().await;
        // As it is by default, where it matters: a stopped gateway takes connections and says nothing.
        let keys: &[_] = &[("peers.patience", "\"400ms\""), ("peers.connect_timeout", "\"300ms\"")];
        let mut fleet = stack.start_fleet(&[keys, keys, keys]).await?;
        let film = stack.film("a.mkv")?.clone();
        let owner = owner(&stack, &fleet, &film).await?;
        let (one, other) = ((owner + 1) % 3, (owner + 2) % 3);
        let (first, body) = begin(&stack, &fleet[one], &film, 2 << 20).await?;
        let process = fleet[owner].process.as_ref().ok_or("no process")?;
        process.notify(signal).await?;
        rest_of(&film, first, body).await?;
        assert!(fleet[one].peers("lost").await? >= 1.0 && fleet[one].peers("bypassed").await? >= 1.0, "{signal}");
        assert_eq!(fleet[one].metric("streamvault_fleet{what=\"out_of_reach\"}").await?, 1.0);
        // One that knows nothing of it yet.
        let answer = stack.get_from(&fleet[other], &film).await?;
        assert_eq!((answer.status.as_u16(), &answer.broken), (200, &None), "{signal}");
        film.compare(0, &answer.body)?;
        if signal == "STOP" {
            let process = fleet[owner].process.take().ok_or("no process")?;
            process.notify("CONT").await?;
            while fleet[one].metric("streamvault_fleet{what=\"out_of_reach\"}").await? > 0.0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            fleet[owner].process = Some(process);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_told_to_stop_finishes_what_others_get_of_it() -> Result<(), Failure> {
    let mut stack = Stack::start(Settings { shape: slow(), ..Settings::default() }.film("a.mkv", 24 << 20)).await?;
    stack.gateway.take().ok_or("no gateway")?.kill().await;
    let mut fleet = stack.start_fleet(&[&[], &[]]).await?;
    let film = stack.film("a.mkv")?.clone();
    let owner = owner(&stack, &fleet, &film).await?;
    let (first, body) = begin(&stack, &fleet[1 - owner], &film, 2 << 20).await?;
    let process = fleet[owner].process.take().ok_or("no process")?;
    let ended = tokio::spawn(process.signal("TERM"));
    rest_of(&film, first, body).await?;
    assert!(ended.await?, "it ends by itself, with status 0");
    assert_eq!(fleet[1 - owner].peers("resumed").await?, 0.0, "a transfer was cut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rings_that_differ_close_no_circle() -> Result<(), Failure> {
    let mut stack = Stack::start(Settings { shape: slow(), ..Settings::default() }.film("a.mkv", 6 << 20)).await?;
    stack.gateway.take().ok_or("no gateway")?.kill().await;
    // Each is sure that the next one owns everything, or as good as.
    let others = |number: usize| {
        let next = (number + 1) % 3;
        format!(
            "[{{ address = \"unix:FOLDER/peer-{number}.sock\" }}, {{ address = \"unix:FOLDER/peer-{next}.sock\", weight = 100 }}]"
        )
    };
    let members: Vec<String> = (0..3).map(others).collect();
    let keys: Vec<[(&str, &str); 1]> = members.iter().map(|members| [("peers.members", members.as_str())]).collect();
    let fleet = stack.start_fleet(&keys.iter().map(|keys| &keys[..]).collect::<Vec<_>>()).await?;
    let film = stack.film("a.mkv")?.clone();
    let mut viewers = JoinSet::new();
    for gateway in fleet.iter().chain(&fleet) {
        let (client, link, film) = (gateway.client, stack.link(&film), film.clone());
        viewers.spawn(async move {
            let answer = client.ask(Method::GET, &link, &[]).await?;
            assert_eq!((answer.status.as_u16(), &answer.broken), (200, &None));
            assert_eq!(answer.body.len() as u64, film.size);
            film.compare(0, &answer.body)
        });
    }
    while let Some(done) = viewers.join_next().await {
        done??;
    }
    let mut asked = 0.0;
    for gateway in &fleet {
        assert_eq!(gateway.peers("lost").await?, 0.0, "nobody waited for anybody until patience was over");
        asked += gateway.peers("asked").await?;
    }
    assert!(asked >= 1.0, "the rings were as they should not be");
    Ok(())
}

/// Asks a gateway as another gateway would.
async fn ask_as_peer(
    gateway: &Gateway,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(u16, Option<String>), Failure> {
    let stream = UnixStream::connect(&gateway.socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().uri(path).header("host", "films.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let fault = response.headers().get("x-hive-fault").and_then(|fault| fault.to_str().ok()).map(str::to_owned);
    Ok((response.status().as_u16(), fault))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_gateways_are_answered_and_only_with_their_token() -> Result<(), Failure> {
    let stack = Stack::start(Settings::default().film("a.mkv", 1 << 20)).await?;
    let wrong: &[_] = &[("peers.token", "\"another-token\"")];
    let fleet = stack.start_fleet(&[&[], wrong]).await?;
    let film = stack.film("a.mkv")?.clone();
    let path = format!("/v1/media/{}/{}", film.chat_id, film.message_id);
    let (link, token) = (stack.link(&film), format!("Bearer {PEERS_TOKEN}"));
    let (right, hop) = (("authorization", token.as_str()), ("x-streamvault-hop", "another"));
    for (path, headers, expected) in [
        (path.as_str(), vec![right, hop], (200, None)),
        (path.as_str(), vec![hop], (401, Some("unauthorized"))),
        (path.as_str(), vec![("authorization", "Bearer harness-token"), hop], (401, Some("unauthorized"))),
        (path.as_str(), vec![right], (400, Some("bad-request"))),
        (link.as_str(), vec![right, hop], (400, Some("bad-request"))),
        ("/metrics", vec![right, hop], (400, Some("bad-request"))),
        ("/v1/media/-1009/1", vec![right, hop], (404, Some("not-found"))),
    ] {
        let (status, fault) = ask_as_peer(&fleet[0], path, &headers).await?;
        assert_eq!((status, fault.as_deref()), expected, "{path} {headers:?}");
    }
    // Viewers get nothing by what gateways know.
    let answer = fleet[0].client.ask(Method::GET, &path, &[right, hop]).await?;
    assert_eq!(answer.status, 404);
    // Two that don't share a token serve by themselves.
    for gateway in &fleet {
        let answer = stack.get_from(gateway, &film).await?;
        assert_eq!(answer.status, 200);
        film.compare(0, &answer.body)?;
    }
    Ok(())
}

/// What a gateway that lost its mind might say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_of_the_fleet_says_is_not_taken_on_trust() -> Result<(), Failure> {
    let stack = Stack::start(Settings::default().film("a.mkv", 3 << 20)).await?;
    let film = stack.film("a.mkv")?.clone();
    let members = "[{ address = \"unix:FOLDER/peer-0.sock\" }, { address = \"unix:FOLDER/liar.sock\", weight = 100 }]";
    let fleet = stack.start_fleet(&[&[("peers.members", members)]]).await?;
    let listener = UnixListener::bind(fleet[0].socket.with_file_name("liar.sock"))?;
    let liar = tokio::spawn(async move {
        let mut said = 0;
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return said };
            let mut request = [0; 4096];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
            let answers = [
                "HTTP/1.1 200 OK\r\netag: \"x\"\r\nx-media-size: 99\r\ncontent-type: a/b\r\ncontent-length: 99\r\n\r\n",
                "HTTP/1.1 206 Partial Content\r\ncontent-length: 5\r\n\r\nwrong",
                "\0garbage",
                "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            ];
            // The description of another film first: nothing that follows fits it, or the hive's own.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answers[said % 4].as_bytes()).await;
            said += 1;
        }
    });
    // A wrong description ends in an error that a viewer can see, and then the hive's is taken.
    let mut answers = Vec::new();
    while answers.last() != Some(&200) {
        let answer = stack.get_from(&fleet[0], &film).await?;
        answers.push(answer.status.as_u16());
        if answer.status == 200 {
            assert_eq!((answer.body.len() as u64, &answer.broken), (film.size, &None));
            film.compare(0, &answer.body)?;
        }
        assert!(answers.len() < 100, "{answers:?}");
    }
    liar.abort();
    Ok(())
}
