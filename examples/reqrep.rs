//! Request and reply. Run it without arguments to see both sides, or one side in each of two terminals:
//!
//! ```text
//! cargo run --example reqrep
//! cargo run --example reqrep -- listen tcp://127.0.0.1:5555
//! cargo run --example reqrep -- dial tcp://127.0.0.1:5555 hello
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::thread;

use sp::{Message, Rep, Req};

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
        ["dial", url, question] => dial(url, &[question]),
        _ => Err("usage: reqrep [listen URL | dial URL QUESTION]".into()),
    }
}

/// Answers every request until the program is stopped.
fn listen(url: &str) -> Result<(), Box<dyn Error>> {
    let rep = Rep::new()?;
    println!("answering at {}", rep.listen(url)?.endpoint());
    for request in rep.iter() {
        println!("asked: {request}");
        rep.send(answer(&request))?;
    }
    Ok(())
}

/// Asks each question and prints its answer.
fn dial(url: &str, questions: &[&str]) -> Result<(), Box<dyn Error>> {
    let req = Req::new()?;
    req.dial(url)?;
    for question in questions {
        req.send(*question)?;
        println!("{question} -> {}", req.recv()?);
    }
    req.close();
    Ok(())
}

fn both() -> Result<(), Box<dyn Error>> {
    let rep = Rep::new()?;
    let url = rep.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("a REP listens at {url}, a REQ dials it");
    let server = {
        let rep = rep.clone();
        thread::spawn(move || rep.iter().try_for_each(|request| rep.send(answer(&request))))
    };
    dial(&url, &["hello", "are you there?", "goodbye"])?;
    rep.close();
    server.join().expect("the server does not panic")?;
    println!("done");
    Ok(())
}

fn answer(request: &Message) -> String {
    format!("you said {:?}", request.as_str().unwrap_or("something that is no text"))
}
