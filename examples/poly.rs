//! One talks with many, and with each on its own. Run it without arguments to see a host and three guests, or one of
//! them in each of some terminals:
//!
//! ```text
//! cargo run --example poly
//! cargo run --example poly -- listen tcp://127.0.0.1:5562
//! cargo run --example poly -- dial tcp://127.0.0.1:5562 hello
//! ```
//!
//! A guest can also be `nngcat --pair1 --dial tcp://127.0.0.1:5562 --data hello --ascii`.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;

use sp::{Message, Pair1, Pair1Poly};

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
        _ => Err("usage: poly [listen URL | dial URL WORD]".into()),
    }
}

/// Answers each guest, and nobody else, until the program is stopped.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let host = Pair1Poly::new()?;
    println!("the host is at {}", host.listen(url)?.endpoint());
    for said in host.iter() {
        println!("{:?} said: {said}", said.source());
        answer(&host, &said);
    }
    Ok(())
}

/// A guest knows of one host and of nobody else.
fn dial(url: &str, word: &str) -> Result<(), Box<dyn Error>> {
    let guest = Pair1::new()?;
    guest.dial(url)?;
    guest.send(word)?;
    println!("heard: {}", guest.recv()?);
    Ok(())
}

fn answer(host: &Pair1Poly, said: &Message) {
    let Some(guest) = said.source() else { return };
    // Fails if the guest has left or does not read: then it is its own fault, and nobody is held up.
    if let Err(error) = host.send_to(guest, format!("{said} to you too")) {
        println!("no answer for {guest}: {error}");
    }
}

fn all() -> Result<(), Box<dyn Error>> {
    let host = Pair1Poly::new()?;
    let url = host.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("three guests at {url}");
    let words = ["good morning", "good day", "good evening"];
    let guests = [Pair1::new()?, Pair1::new()?, Pair1::new()?];
    for (guest, word) in guests.iter().zip(words) {
        guest.dial(url.as_str())?;
        guest.send(word)?;
    }
    host.iter().take(words.len()).for_each(|said| answer(&host, &said));
    for guest in &guests {
        println!("  a guest heard: {}", guest.recv()?);
    }
    println!("done");
    Ok(())
}
