//! Sockets on smol, or any other runtime: their futures are plain ones. A server and its clients as tasks.
//!
//! ```text
//! cargo run --example smol
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;

use sp::{DialOptions, Rep, Req};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    smol::block_on(run())
}

async fn run() -> Result<()> {
    let rep = Rep::new()?;
    let url = rep.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("a server and three clients at {url}");
    let server = smol::spawn(serve(rep));

    let clients: Vec<_> = (1..=3).map(|n| smol::spawn(ask(url.clone(), n))).collect();
    for client in clients {
        println!("  {}", client.await?);
    }
    // A task that is cancelled in the middle of a receive has taken no message.
    drop(server.cancel().await);
    Ok(())
}

/// Answers each question with its square.
async fn serve(rep: Rep) -> Result<()> {
    loop {
        let question = rep.recv_async().await?;
        let n: u64 = question.as_str()?.parse()?;
        rep.send_async((n * n).to_string()).await?;
    }
}

async fn ask(url: String, n: u64) -> Result<String> {
    let req = Req::new()?;
    // A dial that waits would hold up the thread and every task on it; the first send waits for the connection instead.
    req.dial_with(url, &DialOptions::new().background(true))?;
    req.send_async(n.to_string()).await?;
    let answer = format!("{n} squared is {}", req.recv_async().await?);
    // The same goes for closing, which waits for what is queued.
    smol::unblock(|| req.close()).await;
    Ok(answer)
}
