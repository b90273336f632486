//! Requests over TLS between two who both show a certificate.
//!
//! ```console
//! cargo run --example tls --features tls
//! ```
//!
//! Runs a server and a client in this process, with certificates that are for tests only, and prints what each learns
//! of the other. A client without a certificate is turned away; then the server's is replaced while the client stays.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;

use sp::tls::{Authorities, Client, Identity, Server};
use sp::{DialOptions, ListenOptions, Rep, Req};

fn main() -> Result<(), Box<dyn Error>> {
    // Both sides trust whom this authority has signed.
    let authority = Authorities::from_pem(include_str!("certificates/ca.pem"))?;

    let identity = Identity::from_pem(
        include_str!("certificates/server.pem"),
        include_str!("certificates/server.key"),
    )?;
    let server = Server::builder(identity).require_clients(&authority).build()?;
    let rep = Rep::new()?;
    let listener = rep.listen_with("tls+tcp://localhost:0", &ListenOptions::new().tls(&server))?;
    println!("listening at {}", listener.endpoint());

    let identity = Identity::from_pem(
        include_str!("certificates/client.pem"),
        include_str!("certificates/client.key"),
    )?;
    let client = Client::builder(&authority).identity(identity).build()?;
    let req = Req::new()?;
    req.dial_with(listener.endpoint(), &DialOptions::new().tls(&client))?;
    ask(&req, &rep)?;
    for peer in rep.peers() {
        let shown = rep.peer(peer).and_then(|peer| peer.peer_certificate);
        println!("the client showed {} bytes of certificate", shown.map_or(0, |der| der.len()));
    }

    let nobody = Client::builder(&authority).build()?;
    match Req::new()?.dial_with(listener.endpoint(), &DialOptions::new().tls(&nobody)) {
        Ok(_) => return Err("a client without a certificate was let in".into()),
        Err(error) => println!("without a certificate: {error}"),
    }

    let renewed = Identity::from_pem(
        include_str!("certificates/server2.pem"),
        include_str!("certificates/server2.key"),
    )?;
    server.replace(&Server::builder(renewed).require_clients(&authority).build()?);
    println!("the certificate was replaced");
    ask(&req, &rep)
}

fn ask(req: &Req, rep: &Rep) -> Result<(), Box<dyn Error>> {
    req.send("ping")?;
    println!("the server got {}", rep.recv()?);
    rep.send("pong")?;
    println!("the client got {}", req.recv()?);
    Ok(())
}
