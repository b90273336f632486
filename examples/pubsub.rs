//! Publish and subscribe. Run it without arguments to see both sides, or one side in each of two terminals:
//!
//! ```text
//! cargo run --example pubsub
//! cargo run --example pubsub -- listen tcp://127.0.0.1:5556
//! cargo run --example pubsub -- dial tcp://127.0.0.1:5556 weather
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sp::{PipeEvent, Pub, Sub};

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
        ["listen", url] => listen(url),
        ["dial", url, topic] => dial(url, topic),
        _ => Err("usage: pubsub [listen URL | dial URL TOPIC]".into()),
    }
}

/// Publishes about ten lines a second until the program is stopped.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let publisher = Pub::new()?;
    println!("publishing at {}", publisher.listen(url)?.endpoint());
    for line in news() {
        publisher.send(line)?;
        thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}

/// Prints every line that begins with `topic`.
fn dial(url: &str, topic: &str) -> Result<(), Box<dyn Error>> {
    let subscriber = Sub::new()?;
    subscriber.subscribe(topic);
    subscriber.dial(url)?;
    subscriber.iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn both() -> Result<(), Box<dyn Error>> {
    let publisher = Pub::new()?;
    let connected = publisher.events();
    let url = publisher.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("a PUB listens at {url}, two SUBs dial it");
    let mut readers = Vec::new();
    for topic in ["weather", "sport"] {
        let subscriber = Sub::new()?;
        subscriber.subscribe(topic);
        subscriber.dial(url.as_str())?;
        readers.push(thread::spawn(move || {
            for line in subscriber.iter().take(3) {
                println!("  the {topic} subscriber got: {line}");
            }
        }));
    }
    // What is published before a subscriber is there is not kept for it.
    connected.iter().filter(|event| matches!(event, PipeEvent::Connected { .. })).take(2).count();
    for line in news().take(6) {
        println!("published: {line}");
        publisher.send(line)?;
    }
    for reader in readers {
        reader.join().expect("a reader does not panic");
    }
    publisher.close();
    println!("done");
    Ok(())
}

fn news() -> impl Iterator<Item = String> {
    (1..).flat_map(|n| {
        [format!("weather {n}: {} degrees", 10 + n % 15), format!("sport {n}: {n}-{}", n / 2)]
    })
}
