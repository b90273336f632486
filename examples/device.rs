//! A device passes everything on between two sockets. Run it without arguments to see a request cross two networks, or
//! let it run between programs of your own:
//!
//! ```text
//! cargo run --example device
//! cargo run --example device -- reqrep tcp://127.0.0.1:5558 tcp://127.0.0.1:5559
//! cargo run --example device -- pubsub tcp://127.0.0.1:5558 tcp://127.0.0.1:5559
//! ```
//!
//! With `reqrep` clients dial the first address and servers the second; with `pubsub` publishers dial the first and
//! subscribers the second. Between nngcats: `nngcat --rep --dial tcp://127.0.0.1:5559 --data pong --ascii` and then
//! `nngcat --req --dial tcp://127.0.0.1:5558 --data ping --ascii`.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::process::ExitCode;
use std::thread;

use sp::raw::{self, Device};
use sp::{Rep, Req};

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
        [] => alone(),
        ["reqrep", front, back] => {
            let (clients, servers) = (raw::Rep::new()?, raw::Req::new()?);
            println!("clients dial {}", clients.listen(front)?.endpoint());
            println!("servers dial {}", servers.listen(back)?.endpoint());
            println!("{}", Device::new(clients, servers).run());
            Ok(())
        }
        ["pubsub", front, back] => {
            let (publishers, subscribers) = (raw::Sub::new()?, raw::Pub::new()?);
            println!("publishers dial {}", publishers.listen(front)?.endpoint());
            println!("subscribers dial {}", subscribers.listen(back)?.endpoint());
            println!("{}", Device::new(publishers, subscribers).run());
            Ok(())
        }
        _ => Err("usage: device [reqrep FRONT BACK | pubsub FRONT BACK]".into()),
    }
}

/// A client on tcp, a server within the process, and a device that belongs to both worlds.
fn alone() -> Result<(), Box<dyn Error>> {
    let (front, back) = (raw::Rep::new()?, raw::Req::new()?);
    let (client, server) = (Req::new()?, Rep::new()?);
    let listener = front.listen("tcp://127.0.0.1:0")?;
    println!("clients dial {}, the server inproc://servers", listener.endpoint());
    back.listen("inproc://servers")?;
    server.dial("inproc://servers")?;
    client.dial(listener.endpoint())?;

    let device = Device::new(front, back);
    let handle = device.handle();
    let running = thread::spawn(move || device.run());

    for question in ["hello", "goodbye"] {
        client.send(question)?;
        println!("the server is asked: {}", server.recv()?);
        server.send(format!("{question} to you, too"))?;
        println!("the client hears: {}", client.recv()?);
    }
    handle.stop();
    let stats = running.join().expect("a device does not panic");
    let passed = |way| stats.get(way).unwrap_or_default();
    println!("{} requests, {} replies", passed("there"), passed("back"));
    Ok(())
}
