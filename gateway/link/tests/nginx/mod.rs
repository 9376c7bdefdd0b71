//! A live nginx in a folder of its own, and a client that sends it bytes no HTTP library would.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One nginx process; killed on drop, its folder goes with it.
pub(crate) struct Nginx {
    process: Child,
    folder: tempfile::TempDir,
}

/// What a server answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A connection that is kept alive for as long as the server does.
pub(crate) struct Client<S = UnixStream> {
    open: Box<dyn Fn() -> io::Result<S>>,
    stream: Option<BufReader<S>>,
}

impl Nginx {
    /// Starts nginx in one process, without master: it needs no rights and dies with us. `servers` makes the server
    /// blocks, given the folder.
    pub(crate) fn start(files: &[(&str, &[u8])], servers: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::Builder::new().prefix("nginx-oracle").tempdir().unwrap();
        let path = folder.path();
        for (name, content) in files {
            create(&path.join(name), content);
        }
        let mut config = format!(
            "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/error.log crit;\n\
             events {{ worker_connections 64; }}\nhttp {{\naccess_log off;\nkeepalive_requests 1000000;\n",
            path.display()
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(config, "{kind}_temp_path {}/{kind};", path.display()).unwrap();
        }
        config.push_str(&servers(path));
        config.push_str("}\n");
        let file = path.join("nginx.conf");
        create(&file, config.as_bytes());
        let process = Command::new(binary())
            .args(["-p".as_ref(), path.as_os_str(), "-c".as_ref(), file.as_os_str()])
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    /// Connects to a unix socket in the folder, as soon as nginx listens there.
    pub(crate) fn connect(&mut self, socket: &str) -> Client {
        let socket = self.folder.path().join(socket);
        loop {
            if UnixStream::connect(&socket).is_ok() {
                return Client::new(move || UnixStream::connect(&socket));
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("nginx did not start ({status}); its message is above");
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl<S: Read + Write> Client<S> {
    /// Opens a connection when it needs one.
    pub(crate) fn new(open: impl Fn() -> io::Result<S> + 'static) -> Self {
        Self { open: Box::new(open), stream: None }
    }

    /// Sends bytes as they are and reads one response. Connects anew if the server has hung up, which it may do
    /// without having said so (nginx after a 412, for one).
    pub(crate) fn exchange(&mut self, request: &[u8], head: bool) -> Response {
        let mut line = self.send(request).unwrap_or_default();
        if line.is_empty() {
            self.stream = None;
            line = self.send(request).unwrap();
        }
        let stream = self.stream.as_mut().unwrap();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line for {}: {line:?}", request.escape_ascii()));
        let mut headers = Vec::new();
        loop {
            line.clear();
            stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        if !head {
            response.body.resize(length, 0);
            stream.read_exact(&mut response.body).unwrap();
        }
        if response.header("connection") == Some("close") {
            self.stream = None;
        }
        response
    }
}

impl<S: Read + Write> Client<S> {
    /// Gives the status line back.
    fn send(&mut self, request: &[u8]) -> io::Result<String> {
        let stream = match self.stream.as_mut() {
            Some(stream) => stream,
            None => self.stream.insert(BufReader::new((self.open)()?)),
        };
        stream.get_mut().write_all(request)?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        Ok(line)
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn binary() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join("nginx")).find(|file| file.is_file());
    found.expect("this test compares with nginx, which is not installed: apt-get install nginx")
}

#[expect(clippy::disallowed_methods, reason = "the test owns the temporary folder it writes to")]
fn create(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
}
