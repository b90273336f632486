//! A survey and those who answer it in time. Run it without arguments to see both sides, or one side in each of two or
//! more terminals:
//!
//! ```text
//! cargo run --example survey
//! cargo run --example survey -- listen tcp://127.0.0.1:5558
//! cargo run --example survey -- dial tcp://127.0.0.1:5558 Ada
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sp::{PipeEvent, Respondent, Surveyor, SurveyorOptions};

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
        ["dial", url, name] => answer(url, name, Duration::ZERO),
        _ => Err("usage: survey [listen URL | dial URL NAME]".into()),
    }
}

/// Asks whoever is connected, again and again, until the program is stopped.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let surveyor = Surveyor::new()?;
    println!("asking at {}", surveyor.listen(url)?.endpoint());
    loop {
        ask(&surveyor)?;
    }
}

/// Asks once and prints the answers that come in time.
fn ask(surveyor: &Surveyor) -> Result<(), Box<dyn Error>> {
    surveyor.send("who is there?")?;
    println!("who is there?");
    loop {
        match surveyor.recv() {
            Ok(name) => println!("  {name}"),
            Err(error) if error.is_survey_over() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Answers every survey after `delay`, until the socket is closed.
fn answer(url: &str, name: &str, delay: Duration) -> Result<(), Box<dyn Error>> {
    let respondent = Respondent::new()?;
    respondent.dial(url)?;
    for survey in respondent.iter() {
        thread::park_timeout(delay);
        println!("{name} was asked: {survey}");
        respondent.send(name)?;
    }
    Ok(())
}

fn both() -> Result<(), Box<dyn Error>> {
    let time = Duration::from_millis(300);
    let surveyor = Surveyor::with(SurveyorOptions::new().survey_time(time))?;
    let connected = surveyor.events();
    let url = surveyor.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("a SURVEYOR listens at {url}, three RESPONDENTs dial it");
    let delays = [("Ada", Duration::ZERO), ("Charles", time / 3), ("Snail", time * 2)];
    for (name, delay) in delays {
        let url = url.clone();
        // They go on until the program ends.
        thread::spawn(move || answer(&url, name, delay).expect("the surveyor is there"));
    }
    // Who comes later is asked next time.
    let arrivals = connected.iter().filter(|event| matches!(event, PipeEvent::Connected { .. }));
    arrivals.take(delays.len()).for_each(drop);
    ask(&surveyor)?;
    println!("time is over, and one was too slow");
    surveyor.close();
    println!("done");
    Ok(())
}
