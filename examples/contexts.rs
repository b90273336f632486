//! Many requests outstanding on one socket, and a server that answers them in parallel. Run it without arguments to
//! see both sides, or one side in each of two terminals:
//!
//! ```text
//! cargo run --example contexts
//! cargo run --example contexts -- listen tcp://127.0.0.1:5557
//! cargo run --example contexts -- dial tcp://127.0.0.1:5557
//! ```
//!
//! Each request says how many milliseconds of work it is. All are asked at once, on one connection, and the answers
//! come in the order in which the server's threads have them: short ones overtake long ones.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]
#![expect(clippy::disallowed_methods, reason = "a program's time is its own")]

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use sp::{Rep, Req, ReqContext};

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
    let rep = Rep::new()?;
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let url = rep.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
            println!("{WORKERS} threads answer at {url}");
            thread::scope(|scope| {
                scope.spawn(|| serve(&rep));
                let asked = ask(&url);
                rep.clone().close();
                asked
            })
        }
        ["listen", url] => {
            println!("{WORKERS} threads answer at {}", rep.listen(url)?.endpoint());
            serve(&rep);
            Ok(())
        }
        ["dial", url] => ask(url),
        _ => Err("usage: contexts [listen URL | dial URL]".into()),
    }
}

/// Answers in several threads until the socket is closed. A context each is all they need.
fn serve(rep: &Rep) {
    thread::scope(|scope| {
        for worker in 1..=WORKERS {
            let context = rep.context();
            scope.spawn(move || {
                for request in context.iter() {
                    let work = request.as_str().ok().and_then(|text| text.parse().ok());
                    thread::park_timeout(Duration::from_millis(work.unwrap_or(0)));
                    // Fails only if the program closes the socket meanwhile.
                    let _ = context.send(format!("by worker {worker}"));
                }
            });
        }
    });
}

/// Asks everything at once and prints the answers as they come.
fn ask(url: &str) -> Result<(), Box<dyn Error>> {
    let req = Req::new()?;
    req.dial(url)?;
    let begun = Instant::now();
    thread::scope(|scope| {
        for work in [200, 50, 150, 20, 100, 10, 80, 30] {
            let context = req.context();
            scope.spawn(move || {
                let answer = question(&context, &work.to_string());
                let after = begun.elapsed().as_millis();
                println!("after {after:>3} ms: {work:>3} ms of work, done {answer}");
            });
        }
    });
    println!("640 ms of work took {} ms", begun.elapsed().as_millis());
    req.close();
    Ok(())
}

/// One conversation: a socket of its own would do the same.
fn question(context: &ReqContext, text: &str) -> String {
    match context.send(text) {
        Ok(()) => context.recv().map_or_else(|error| error.to_string(), |reply| reply.to_string()),
        Err(error) => error.to_string(),
    }
}

/// Threads that answer.
const WORKERS: usize = 4;
