//! A publisher that browsers listen to. Run it without arguments to see a subscriber of this library and the page's
//! address, or serve until stopped and open the page that it prints:
//!
//! ```text
//! cargo run --example ws
//! cargo run --example ws -- serve ws://127.0.0.1:8080/news 127.0.0.1:8081
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sp::{Pub, Sub};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => both(),
        ["serve", news, page] => {
            let (publisher, _) = serve(news, page)?;
            publish(&publisher, u32::MAX)
        }
        _ => Err("usage: ws [serve ws://HOST:PORT/PATH HOST:PORT]".into()),
    }
}

/// A publisher at `news`, and a page at `page` that shows what it publishes.
fn serve(news: &str, page: &str) -> Result<(Pub, String), Box<dyn Error>> {
    let publisher = Pub::new()?;
    let url = publisher.listen(news)?.endpoint().to_string();
    let visitors = TcpListener::bind(page)?;
    println!("publishing at {url}, to be seen at http://{}/", visitors.local_addr()?);
    let page = include_str!("ws.html").replace("NEWS_URL", &url);
    thread::spawn(move || {
        for visitor in visitors.incoming().flatten() {
            if let Err(error) = show(&page, visitor) {
                eprintln!("a visitor left: {error}");
            }
        }
    });
    Ok((publisher, url))
}

/// Answers one request, whatever it asks for.
fn show(page: &str, mut visitor: TcpStream) -> std::io::Result<()> {
    visitor.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut lines = BufReader::new(visitor.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = page.len();
    write!(
        visitor,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{page}"
    )
}

/// About ten lines a second.
fn publish(publisher: &Pub, lines: u32) -> Result<(), Box<dyn Error>> {
    for n in 1..=lines {
        publisher.send(format!("news {n}: {} degrees", 10 + n % 15))?;
        thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}

fn both() -> Result<(), Box<dyn Error>> {
    let (publisher, url) = serve("ws://127.0.0.1:0/news", "127.0.0.1:0")?;
    let connected = publisher.events();
    let subscriber = Sub::new()?;
    subscriber.subscribe("");
    subscriber.dial(url)?;
    // What is published before a subscriber is there is not kept for it.
    connected.recv()?;
    publish(&publisher, 3)?;
    subscriber.iter().take(3).for_each(|line| println!("  the subscriber got: {line}"));
    println!("done");
    Ok(())
}
