//! A program's own event loop: one thread waits for a socket and for a descriptor of its own, and does the I/O of both.
//!
//! ```text
//! cargo run --example event_loop
//! ```
//!
//! The loop here is mio's; epoll, kqueue, glib or any other that waits for descriptors does as well.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sp::{Rep, Req};

fn main() -> Result<(), Box<dyn Error>> {
    let rep = Rep::new()?;
    let url = rep.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    let visitors = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let addr = visitors.local_addr()?;
    let client =
        thread::spawn(move || ask_and_visit(&url, addr).map_err(|error| error.to_string()));
    serve(&rep, visitors)?;
    client.join().map_err(|_| "the client panicked")??;
    Ok(())
}

/// Answers requests, and tells a visitor how many there were. Ends after the first visitor.
fn serve(rep: &Rep, mut visitors: TcpListener) -> Result<(), Box<dyn Error>> {
    let mut poll_set = rep.poll_set()?;
    let mut poll = Poll::new()?;
    let source = &mut SourceFd(&poll_set.as_raw_fd());
    poll.registry().register(source, REQUESTS, Interest::READABLE)?;
    poll.registry().register(&mut visitors, VISITORS, Interest::READABLE)?;

    let (mut events, mut answered) = (Events::with_capacity(8), 0);
    loop {
        wait(&mut poll, &mut events)?;
        for event in &events {
            if event.token() == REQUESTS {
                // First the socket's I/O, then whatever came of it.
                let _ = poll_set.drive();
                while let Ok(request) = rep.try_recv() {
                    answered += 1;
                    rep.try_send(format!("{}, number {answered}", request.as_str()?))?;
                }
            } else if let Ok((mut visitor, _)) = visitors.accept() {
                writeln!(visitor, "{answered} requests were answered")?;
                return Ok(());
            }
        }
    }
}

/// Waits until something can be done.
fn wait(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    loop {
        match poll.poll(events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => return polled,
        }
    }
}

/// The other side: a socket that asks three times, and then somebody who knows nothing of sockets like these.
fn ask_and_visit(url: &str, addr: SocketAddr) -> Result<(), Box<dyn Error>> {
    let req = Req::new()?;
    req.dial(url)?;
    for name in ["bread", "butter", "tea"] {
        req.send(name)?;
        println!("  the answer: {}", req.recv()?.as_str()?);
    }
    let told = io::read_to_string(TcpStream::connect(addr)?)?;
    println!("  the visitor is told: {}", told.trim_end());
    Ok(())
}

const REQUESTS: Token = Token(0);
const VISITORS: Token = Token(1);
