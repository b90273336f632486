//! Futures without any runtime: a waker that unparks a thread is all they need. One thread asks three servers at a time.
//!
//! ```text
//! cargo run --example block_on
//! ```
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use sp::{Rep, Req};

fn main() -> Result<(), Box<dyn Error>> {
    let mut asked = Vec::new();
    for name in ["one", "two", "three"] {
        let (rep, req) = (Rep::new()?, Req::new()?);
        req.dial(rep.listen("tcp://127.0.0.1:0")?.endpoint())?;
        thread::spawn(move || serve(&rep, name));
        asked.push(req);
    }
    block_on(async {
        for req in &asked {
            req.send_async("who are you?").await?;
        }
        // All three wait at the same time, for one waker.
        let mut answers: Vec<_> = asked.iter().map(|req| Box::pin(req.recv_async())).collect();
        while !answers.is_empty() {
            println!("  the answer came: {}", any(&mut answers).await?);
        }
        Ok(())
    })
}

/// Runs a future on this thread, which sleeps whenever there is nothing to do.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        // A wake that came meanwhile makes this return at once.
        thread::park();
    }
}

/// Waits for whichever future is ready first and takes it out.
async fn any<F: Future>(futures: &mut Vec<Pin<Box<F>>>) -> F::Output {
    std::future::poll_fn(|cx| {
        for at in 0..futures.len() {
            if let Poll::Ready(output) = futures[at].as_mut().poll(cx) {
                drop(futures.swap_remove(at));
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    })
    .await
}

/// Answers as long as the program runs.
fn serve(rep: &Rep, name: &str) {
    for _question in rep.iter() {
        if rep.send(format!("I am {name}")).is_err() {
            return;
        }
    }
}
