//! Everybody hears everybody, however far: each passes on what it gets. Run it without arguments to see four in a row,
//! or one in each of some terminals:
//!
//! ```text
//! cargo run --example star
//! cargo run --example star -- listen tcp://127.0.0.1:5561
//! cargo run --example star -- dial tcp://127.0.0.1:5561 hello
//! ```
//!
//! Of the others only mangos knows this pattern.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use sp::Star;

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
        _ => Err("usage: star [listen URL | dial URL WORD]".into()),
    }
}

/// Is the middle of a network until the program is stopped. What it hears it has passed on already.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let star = Star::new()?;
    println!("the middle is at {}", star.listen(url)?.endpoint());
    star.iter().for_each(|heard| println!("passed on: {heard}"));
    Ok(())
}

/// Says one thing and prints what it hears.
fn dial(url: &str, word: &str) -> Result<(), Box<dyn Error>> {
    let star = Star::new()?;
    star.dial(url)?;
    star.send(word)?;
    star.iter().for_each(|heard| println!("heard: {heard}"));
    Ok(())
}

fn all() -> Result<(), Box<dyn Error>> {
    let names = ["anna", "bert", "carl", "dora"];
    let stars = [Star::new()?, Star::new()?, Star::new()?, Star::new()?];
    println!("four in a row: {}", names.join(" - "));
    for pair in stars.windows(2) {
        pair[1].dial(pair[0].listen("tcp://127.0.0.1:0")?.endpoint())?;
    }
    // What is sent before both ends of a connection know each other is not kept.
    for (star, neighbours) in stars.iter().zip([1, 2, 2, 1]) {
        star.wait_for_peers(neighbours, Duration::from_secs(5))?;
    }
    for (name, star) in names.iter().zip(&stars) {
        star.send(format!("{name} is here"))?;
    }
    for (name, star) in names.iter().zip(&stars) {
        star.iter().take(3).for_each(|heard| println!("  {name} heard: {heard}"));
    }
    println!("done");
    Ok(())
}
