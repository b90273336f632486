//! A real browser beside this library: the example with a page is run, Chromium without a window opens the page, and
//! what is published has to show up there.
//!
//! Where Chromium is not installed the tests are skipped with a line that says so; with `SP_INTEROP=required` in the
//! environment they fail instead.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use sp_core::clock;
use support::unique;

mod support;

#[test]
fn a_browser_shows_what_the_example_publishes_until_it_is_gone() {
    let Some(mut browser) = Browser::start() else { return };
    let (example, page) = example();
    browser.open(&page);
    let news = browser.wait_for("document.getElementById('news').children.length >= 3");
    // The newest line stands first, and none is missing between them.
    let numbers: Vec<u32> = news
        .lines()
        .filter_map(|line| line.strip_prefix("news ")?.split(':').next()?.parse().ok())
        .collect();
    assert!(numbers.len() >= 3, "{news}");
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1), "{news}");
    assert!(news.contains("connected"), "{news}");
    drop(example);
    browser.wait_for("document.getElementById('state').textContent.includes('is gone')");
}

/// The page of the example, and a certificate that the browser is told to accept.
#[cfg(feature = "tls")]
#[test]
fn a_browser_shows_what_is_published_over_tls() {
    use sp::tls::Server;
    use sp::{ListenOptions, Pub};
    use support::{certificates::SERVER, tls::identity};

    let Some(mut browser) = Browser::start() else { return };
    let server = Server::builder(identity(&SERVER)).build().expect("a certificate");
    let publisher = Pub::new().expect("a socket");
    let events = publisher.events();
    let options = ListenOptions::new().tls(&server);
    let listener = publisher.listen_with("wss://127.0.0.1:0/news", &options).expect("a free port");
    let url = listener.endpoint().to_string();
    let page = TempFile::new(&include_str!("../examples/ws.html").replace("NEWS_URL", &url));
    browser.open(&format!("file://{}", page.0.display()));
    support::wait_connected(&events);
    for text in ["one", "two", "three"] {
        publisher.send(text).expect("a PUB always sends");
    }
    let shown = browser.wait_for("document.getElementById('news').children.length >= 3");
    assert!(shown.contains("three\ntwo\none"), "{shown}");
}

/// The example at work, and the URL of its page.
fn example() -> (Running, String) {
    // Cargo becomes the example, so that ending the one ends the other.
    let serve = ["serve", "ws://127.0.0.1:0/news", "127.0.0.1:0"];
    let mut example = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", "ws", "--"])
        .args(serve)
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo runs the example");
    let stdout = example.stdout.take().expect("a pipe was asked for");
    let example = Running(example);
    let (tell, told) = unbounded();
    thread::spawn(move || {
        let mut line = String::new();
        // An example that fails prints nothing, and the test says so.
        let _ = BufReader::new(stdout).read_line(&mut line);
        let _ = tell.send(line);
    });
    let line = told.recv_timeout(PATIENCE).expect("the example says where its page is");
    let page = line.trim().rsplit(' ').next().unwrap_or_default();
    assert!(page.starts_with("http://"), "{line:?}");
    (example, page.to_owned())
}

/// Chromium, told what to do through a pipe: JSON texts, each with a zero byte behind it.
struct Browser {
    _process: Running,
    tell: ChildStdin,
    said: Receiver<String>,
    calls: u32,
    /// The page's session, once there is one.
    session: String,
    _profile: TempFolder,
}

impl Browser {
    /// `None` where there is none and it need not be.
    fn start() -> Option<Self> {
        match Command::new(PROGRAM).arg("--version").output() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let required = std::env::var("SP_INTEROP").is_ok_and(|value| value == "required");
                assert!(!required, "{PROGRAM} is not installed; on Debian it is a package");
                eprintln!("skipped: {PROGRAM} is not installed (Debian package {PROGRAM})");
                return None;
            }
            Err(error) => panic!("start {PROGRAM}: {error}"),
        }
        let profile = TempFolder(std::env::temp_dir().join(unique()));
        let mut process = Command::new("sh")
            // It listens at descriptor 3 and speaks at 4.
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >&2", "sh", PROGRAM])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--ignore-certificate-errors", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.0.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let tell = process.stdin.take().expect("a pipe was asked for");
        let heard = BufReader::new(process.stdout.take().expect("a pipe was asked for"));
        let (hear, said) = unbounded();
        // Ends with the browser.
        thread::spawn(move || {
            for text in heard.split(0).map_while(Result::ok) {
                let _ = hear.send(String::from_utf8_lossy(&text).into_owned());
            }
        });
        let (_process, _profile) = (Running(process), profile);
        let mut browser = Self { _process, tell, said, calls: 0, session: String::new(), _profile };
        let page = browser.call("Target.createTarget", r#"{"url":"about:blank"}"#);
        let page = string(&page, "targetId");
        let attach = format!(r#"{{"targetId":"{page}","flatten":true}}"#);
        browser.session = string(&browser.call("Target.attachToTarget", &attach), "sessionId");
        browser.call("Page.enable", "{}");
        Some(browser)
    }

    /// Opens a page and waits until it has loaded.
    fn open(&mut self, url: &str) {
        self.call("Page.navigate", &format!(r#"{{"url":"{url}"}}"#));
        self.wait("\"method\":\"Page.loadEventFired\"");
    }

    /// Waits until a condition of the page holds, and answers the page's text.
    fn wait_for(&mut self, condition: &str) -> String {
        let script = format!(
            "new Promise(done => {{ \
                 const look = () => ({condition}) && done(document.body.innerText); \
                 const everything = {{ childList: true, subtree: true, characterData: true }}; \
                 new MutationObserver(look).observe(document.body, everything); \
                 look(); \
             }})"
        );
        let evaluate = format!(r#"{{"expression":"{script}","awaitPromise":true}}"#);
        string(&self.call("Runtime.evaluate", &evaluate), "value").replace("\\n", "\n")
    }

    fn call(&mut self, method: &str, params: &str) -> String {
        self.calls += 1;
        let id = self.calls;
        let mut text = format!(r#"{{"id":{id},"method":"{method}","params":{params}"#);
        if !self.session.is_empty() {
            let _ = write!(text, r#","sessionId":"{}""#, self.session);
        }
        text.push_str("}\0");
        self.tell.write_all(text.as_bytes()).expect("the browser listens");
        let answer = self.wait(&format!("{{\"id\":{id},"));
        assert!(!answer.contains("\"error\":"), "{method} {params}: {answer}");
        answer
    }

    /// The next text that has `part` in it, whatever comes before.
    fn wait(&self, part: &str) -> String {
        let until = clock::now() + PATIENCE;
        loop {
            match self.said.recv_deadline(until) {
                Ok(text) if text.contains(part) => return text,
                Ok(_) => {}
                Err(error) => panic!("the browser does not say {part}: {error}"),
            }
        }
    }
}

/// A string of an answer, by its name. What is asked for here has no quotes in it.
fn string(answer: &str, name: &str) -> String {
    let (_, rest) = answer.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| {
        panic!("the browser's answer has no {name}: {answer}");
    });
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// A process of ours to end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A browser's profile, removed with it.
struct TempFolder(PathBuf);

impl Drop for TempFolder {
    fn drop(&mut self) {
        // What is left behind is in the place for it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(feature = "tls")]
struct TempFile(PathBuf);

#[cfg(feature = "tls")]
impl TempFile {
    fn new(text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(unique()).with_extension("html"));
        fs::write(&file.0, text).expect("room for a temporary file");
        file
    }
}

#[cfg(feature = "tls")]
impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const PROGRAM: &str = "chromium";

/// A browser on a loaded machine takes its time, and cargo may have to build the example.
const PATIENCE: Duration = Duration::from_secs(120);
