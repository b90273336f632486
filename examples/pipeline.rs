//! Work is handed out: each piece to one worker, whoever has room. Run it without arguments to see three workers share
//! some, or one side in each of some terminals:
//!
//! ```text
//! cargo run --example pipeline
//! cargo run --example pipeline -- listen tcp://127.0.0.1:5560
//! cargo run --example pipeline -- dial tcp://127.0.0.1:5560
//! ```
//!
//! The worker can also be `nngcat --pull --dial tcp://127.0.0.1:5560 --ascii`.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use sp::{Pull, Push};

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
        [] => all(),
        ["listen", url] => listen(url),
        ["dial", url] => dial(url),
        _ => Err("usage: pipeline [listen URL | dial URL]".into()),
    }
}

/// Hands out what is typed, a line to a worker, and ends with the last.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let push = Push::new()?;
    println!("workers dial {}", push.listen(url)?.endpoint());
    for line in std::io::stdin().lines() {
        // Waits while there is no worker, or none that has room.
        push.send(line?)?;
    }
    push.close();
    Ok(())
}

/// Works.
fn dial(url: &str) -> Result<(), Box<dyn Error>> {
    let pull = Pull::new()?;
    pull.dial(url)?;
    pull.iter().for_each(|piece| println!("done: {piece}"));
    Ok(())
}

fn all() -> Result<(), Box<dyn Error>> {
    let push = Push::new()?;
    let url = push.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    let workers = ["anna", "bert", "carl"].map(|name| (name, Pull::new()));
    let mut pulls = Vec::new();
    for (name, pull) in workers {
        let pull = pull?;
        pull.dial(url.as_str())?;
        pulls.push((name, pull));
    }
    push.wait_for_peers(pulls.len(), Duration::from_secs(5))?;
    println!("nine pieces of work for three workers");
    for piece in 1..=9 {
        push.send(format!("piece {piece}"))?;
    }
    for (name, pull) in &pulls {
        pull.iter().take(3).for_each(|piece| println!("  {name} did {piece}"));
    }
    println!("done");
    Ok(())
}
