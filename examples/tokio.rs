//! Sockets on tokio: a server and its clients as tasks of one thread, which does all of their I/O.
//!
//! ```text
//! cargo run --example tokio --features tokio
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;

use sp::tokio::{Rep, Req};
use tokio::runtime::Builder;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    // A runtime with several threads does as well.
    Builder::new_current_thread().enable_io().build()?.block_on(run())
}

async fn run() -> Result<()> {
    let rep = Rep::new()?;
    let url = rep.listen("tcp://127.0.0.1:0")?.endpoint().to_string();
    println!("a server and three clients at {url}");
    let server = tokio::spawn(serve(rep));

    let clients: Vec<_> = (1..=3).map(|n| tokio::spawn(ask(url.clone(), n))).collect();
    for client in clients {
        println!("  {}", client.await??);
    }
    // A task that is dropped in the middle of a receive has taken no message.
    server.abort();
    Ok(())
}

/// Answers each question with its square.
async fn serve(rep: Rep) -> Result<()> {
    loop {
        let question = rep.recv().await?;
        let n: u64 = std::str::from_utf8(question.body())?.parse()?;
        rep.send((n * n).to_string()).await?;
    }
}

async fn ask(url: String, n: u64) -> Result<String> {
    let req = Req::new()?;
    req.dial(url).await?;
    req.send(n.to_string()).await?;
    let answer = format!("{n} squared is {}", req.recv().await?);
    req.close().await;
    Ok(answer)
}
