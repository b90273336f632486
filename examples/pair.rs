//! Two who talk whenever they like. Run it without arguments to see both sides, or one side in each of two terminals:
//!
//! ```text
//! cargo run --example pair
//! cargo run --example pair -- listen tcp://127.0.0.1:5558
//! cargo run --example pair -- dial tcp://127.0.0.1:5558 hello
//! ```
//!
//! The other side can also be `nngcat --pair0`.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::thread;

use sp::Pair;

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
        ["dial", url, word] => dial(url, word),
        _ => Err("usage: pair [listen URL | dial URL WORD]".into()),
    }
}

/// Greets whoever comes and repeats what they say, one after the other, until the program is stopped.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let pair = Pair::new()?;
    println!("waiting at {}", pair.listen(url)?.endpoint());
    // Waits until somebody is there.
    pair.send("welcome")?;
    for said in pair.iter() {
        println!("they said: {said}");
        pair.send(said)?;
    }
    Ok(())
}

/// Says one thing and prints the first two that come back.
fn dial(url: &str, word: &str) -> Result<(), Box<dyn Error>> {
    let pair = Pair::new()?;
    pair.dial(url)?;
    pair.send(word)?;
    pair.iter().take(2).for_each(|heard| println!("heard: {heard}"));
    Ok(())
}

fn both() -> Result<(), Box<dyn Error>> {
    let (anna, bert) = (Pair::new()?, Pair::new()?);
    let url = bert.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("one PAIR listens at {url}, the other dials it; both count at the same time");
    anna.dial(url)?;
    let counting = thread::spawn(move || -> Result<(), Box<dyn Error + Send + Sync>> {
        for n in 1..=3 {
            bert.send(format!("bert counts {n}"))?;
        }
        for heard in bert.iter().take(3) {
            println!("  bert heard: {heard}");
        }
        bert.close();
        Ok(())
    });
    for n in ["one", "two", "three"] {
        anna.send(format!("anna counts {n}"))?;
    }
    for heard in anna.iter().take(3) {
        println!("anna heard: {heard}");
    }
    counting.join().expect("bert does not panic").map_err(|error| error as Box<dyn Error>)?;
    println!("done");
    Ok(())
}
