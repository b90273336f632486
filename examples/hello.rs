//! The main job in one program: a request and its reply, then news for a subscriber, over tcp on this machine.
//!
//! ```text
//! cargo run --example hello
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::thread;
use std::time::Duration;

use sp::{Pub, Rep, Req, Sub};

fn main() -> Result<(), Box<dyn Error>> {
    request_and_reply()?;
    publish_and_subscribe()?;
    println!("\nthat was it; see the examples reqrep and pubsub for one side at a time");
    Ok(())
}

fn request_and_reply() -> Result<(), Box<dyn Error>> {
    let rep = Rep::new()?;
    let url = rep.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("REQ/REP at {url}");
    let server = thread::spawn(move || {
        let question = rep.recv()?;
        println!("  the server was asked: {question}");
        rep.send("forty-two")?;
        rep.close();
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    });

    let req = Req::new()?;
    req.dial(url)?;
    req.send("what is six times seven?")?;
    println!("  the client was told: {}", req.recv()?);
    server.join().expect("the server does not panic").map_err(|error| error as Box<dyn Error>)
}

fn publish_and_subscribe() -> Result<(), Box<dyn Error>> {
    let publisher = Pub::new()?;
    let url = publisher.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("PUB/SUB at {url}");

    let subscriber = Sub::new()?;
    subscriber.subscribe("weather");
    subscriber.dial(url)?;
    // Nothing is kept for subscribers that come later, so wait for this one.
    publisher.wait_for_peers(1, Duration::from_secs(5))?;

    for line in ["weather: sunny", "sport: 2-1", "weather: rain later"] {
        println!("  published:  {line}");
        publisher.send(line)?;
    }
    for line in subscriber.iter().take(2) {
        println!("  subscribed: {line}");
    }
    publisher.close();
    Ok(())
}
