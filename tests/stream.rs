//! Receiving as a stream, on a runtime that knows nothing of this library.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use smol::stream::{Stream, StreamExt};
use sp::{Message, Pull, Push, Rep, Req};
use support::{Transport, block_on, connect};

mod support;

#[test]
fn a_stream_brings_every_message_in_order_and_ends_with_the_socket() {
    const MESSAGES: u32 = 5000;
    for transport in Transport::ALL {
        let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
        connect(transport, &pull, &push);
        let sending = smol::spawn(async move {
            for n in 0..MESSAGES {
                push.send_async(n.to_be_bytes()).await.expect("the receiver is connected");
            }
            push
        });
        smol::block_on(async {
            let mut stream = pull.recv_stream();
            for n in 0..MESSAGES {
                assert_eq!(stream.next().await.expect("there are more"), n.to_be_bytes());
            }
            drop(sending.await);
            pull.clone().close();
            assert_eq!(stream.next().await, None, "the socket is closed");
            assert_eq!(stream.next().await, None, "and stays so");
        });
    }
}

#[test]
fn a_stream_that_is_dropped_while_it_waits_has_taken_nothing() {
    let (pull, push) = (Pull::new().expect("PULL opens"), Push::new().expect("PUSH opens"));
    connect(Transport::Inproc, &pull, &push);
    {
        let mut stream = pin!(pull.recv_stream());
        assert!(is_pending(stream.as_mut()));
        push.send("work").expect("the receiver is connected");
        // Woken, and gone without another look.
    }
    assert_eq!(block_on(pull.recv_async()).expect("it is still there"), "work");
}

#[test]
fn streams_of_two_contexts_share_the_requests() {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    connect(Transport::Tcp, &rep, &req);
    let servers = [(); 2].map(|()| {
        let context = rep.context();
        smol::spawn(async move {
            let mut served = 0;
            let mut requests = context.recv_stream();
            while let Some(request) = requests.next().await {
                context.send_async(request).await.expect("there is a request");
                served += 1;
            }
            served
        })
    });
    for n in 0..200u32 {
        req.send(n.to_be_bytes()).expect("the server is connected");
        assert_eq!(req.recv().expect("the answer comes"), n.to_be_bytes());
    }
    rep.close();
    let served = servers.map(smol::block_on);
    assert_eq!(served.iter().sum::<u32>(), 200);
}

fn is_pending(stream: std::pin::Pin<&mut impl Stream<Item = Message>>) -> bool {
    matches!(stream.poll_next(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}
