//! Everybody hears everybody. Run it without arguments to see three on one bus, or one in each of some terminals:
//!
//! ```text
//! cargo run --example bus
//! cargo run --example bus -- listen tcp://127.0.0.1:5559
//! cargo run --example bus -- dial tcp://127.0.0.1:5559 hello
//! ```
//!
//! The other side can also be `nngcat --bus`.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;

use sp::{Bus, PipeEvent};

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
        ["dial", url, word] => dial(url, word),
        _ => Err("usage: bus [listen URL | dial URL WORD]".into()),
    }
}

/// Tells all that come what one of them said, until the program is stopped.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let bus = Bus::new()?;
    println!("a stop of the bus is at {}", bus.listen(url)?.endpoint());
    for said in bus.iter() {
        println!("{:?} said: {said}", said.source());
        // A bus passes nothing on by itself. What a program sends goes to all, to whoever said it as well.
        bus.send(said)?;
    }
    Ok(())
}

/// Says one thing and prints what it hears.
fn dial(url: &str, word: &str) -> Result<(), Box<dyn Error>> {
    let bus = Bus::new()?;
    bus.dial(url)?;
    bus.send(word)?;
    bus.iter().for_each(|heard| println!("heard: {heard}"));
    Ok(())
}

fn all() -> Result<(), Box<dyn Error>> {
    let names = ["anna", "bert", "carl"];
    let buses = [Bus::new()?, Bus::new()?, Bus::new()?];
    println!("three on a bus, each connected with each");
    for (n, bus) in buses.iter().enumerate() {
        let connected = bus.events();
        let url = bus.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
        for later in &buses[n + 1..] {
            later.dial(url.as_str())?;
            // What is sent before both know each other is not kept.
            connected.iter().find(|event| matches!(event, PipeEvent::Connected { .. }));
        }
    }
    for (name, bus) in names.iter().zip(&buses) {
        bus.send(format!("{name} is here"))?;
    }
    for (name, bus) in names.iter().zip(&buses) {
        bus.iter().take(2).for_each(|heard| println!("  {name} heard: {heard}"));
    }
    println!("done");
    Ok(())
}
