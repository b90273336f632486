//! Contexts: many conversations on one socket, from threads and from tasks, none in another's way.
#![expect(unsafe_code, reason = "only the system knows how many descriptors the process may have")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Barrier};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use sp::{
    Context, ContextEngine, Pub, RecvError, Rep, RepContext, Req, ReqContext, ReqOptions,
    Respondent, SendError, Socket, Sub, SubContext, SubOptions, Surveyor, SurveyorOptions,
};
use support::{DEADLINE, Transport, bell, block_on, connect, spawn, wait_until};

mod support;

/// sp-wire 8.8 item 104
#[test]
fn replies_reach_the_contexts_that_asked_in_any_order() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let asking = contexts(&req, 64);
        let answering = contexts(&rep, asking.len());
        ask_all(&asking);
        let asked: Vec<u32> = answering.iter().map(recv_number).collect();
        // 37 is prime to 64: every one has its turn, and hardly one the turn after the one before it.
        for turn in 0..asked.len() {
            let at = turn * 37 % asked.len();
            answering[at].send_timeout(answer_to(asked[at]), DEADLINE).expect("a request is held");
        }
        for (number, context) in asking.iter().enumerate().rev() {
            expect_answer(context, number as u32);
        }
    }
}

#[test]
fn a_new_request_cancels_the_former_one_of_its_context_only() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let (first, second) = (Arc::new(req.context()), req.context());
        let answering = contexts(&rep, 3);
        ask(&first, 1);
        ask(&second, 2);
        let waiting = spawn({
            let first = Arc::clone(&first);
            move || first.recv()
        });
        waiting.wait_asleep();
        ask(&first, 3);
        assert!(matches!(waiting.join(), Err(RecvError::Canceled { .. })), "over {transport:?}");
        answering.iter().for_each(answer_one);
        expect_answer(&first, 3);
        expect_answer(&second, 2);
        assert_eq!(req.stats().get("stale_replies"), Some(1));
    }
}

#[test]
fn each_context_has_a_state_of_its_own() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let (asking, idle) = (req.context(), req.context());
        let (answering, free) = (rep.context(), rep.context());
        ask(&asking, 1);
        assert!(matches!(idle.recv(), Err(RecvError::State { .. })), "nothing was asked here");
        assert!(matches!(req.recv(), Err(RecvError::State { .. })), "nor here");
        assert_eq!(recv_number(&answering), 1);
        assert!(matches!(free.send("?"), Err(SendError::State { .. })), "no request is held here");
        assert!(matches!(rep.send("?"), Err(SendError::State { .. })), "nor here");
        answering.send(answer_to(1)).expect("a request is held");
        assert!(matches!(answering.send("?"), Err(SendError::State { .. })), "it is answered");
        expect_answer(&asking, 1);
        assert!(matches!(asking.recv(), Err(RecvError::State { .. })), "it has its answer");
    }
}

#[test]
fn a_receive_of_a_rep_context_gives_up_the_request_of_this_context_only() {
    let (rep, req) = pair(Transport::Tcp);
    let asking = contexts(&req, 3);
    let [fickle, loyal] = [rep.context(), rep.context()];
    ask(&asking[0], 0);
    assert_eq!(recv_number(&fickle), 0);
    ask(&asking[1], 1);
    assert_eq!(recv_number(&loyal), 1);
    ask(&asking[2], 2);
    assert_eq!(recv_number(&fickle), 2);
    assert_eq!(rep.stats().get("unanswered"), Some(1));
    loyal.send(answer_to(1)).expect("a request is held");
    fickle.send(answer_to(2)).expect("a request is held");
    expect_answer(&asking[1], 1);
    expect_answer(&asking[2], 2);
    assert!(asking[0].try_recv().is_err_and(|error| error.is_empty()), "nobody answers this one");
}

#[test]
fn threads_answer_in_parallel() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        // Nobody answers before all have a request: a REP that answered one after the other would hang.
        let all_hold = Arc::new(Barrier::new(WORKERS));
        let workers: Vec<_> = contexts(&rep, WORKERS)
            .into_iter()
            .map(|context| {
                let all_hold = Arc::clone(&all_hold);
                spawn(move || {
                    for _ in 0..ROUNDS {
                        let number = recv_number(&context);
                        all_hold.wait();
                        context.send(answer_to(number)).expect("a request is held");
                    }
                })
            })
            .collect();
        let clients: Vec<_> = contexts(&req, WORKERS)
            .into_iter()
            .zip(0..)
            .map(|(context, client)| {
                spawn(move || {
                    for round in 0..ROUNDS {
                        let number = client * 1000 + round;
                        ask(&context, number);
                        expect_answer(&context, number);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(support::Task::join);
        workers.into_iter().for_each(support::Task::join);
    }
}

#[test]
fn tasks_ask_and_answer_in_parallel() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let server = spawn({
            let rep = rep.clone();
            move || {
                let mut tasks = Tasks::default();
                for context in contexts(&rep, WORKERS) {
                    tasks.add(async move {
                        while let Ok(request) = context.recv_async().await {
                            let answer = answer_to(number_in(&request));
                            context.send_async(answer).await.expect("a request is held");
                        }
                    });
                }
                tasks.run();
            }
        });
        let mut tasks = Tasks::default();
        for (context, client) in contexts(&req, 64).into_iter().zip(0..) {
            tasks.add(async move {
                for round in 0..ROUNDS {
                    let number = client * 1000 + round;
                    context.send_async(number.to_be_bytes()).await.expect("REP is connected");
                    let reply = context.recv_async().await.expect("the reply comes");
                    assert_eq!(reply, answer_to(number));
                }
            });
        }
        tasks.run();
        rep.close();
        server.join();
    }
}

#[test]
fn a_thousand_contexts_of_one_req_are_served_by_eight_of_one_rep() {
    for transport in Transport::ALL {
        let (rep, req) = pair(transport);
        let workers = serve(&rep);
        let asking = contexts(&req, 1000);
        for _ in 0..3 {
            ask_all(&asking);
            for (number, context) in asking.iter().enumerate().rev() {
                expect_answer(context, number as u32);
            }
        }
        assert_eq!(req.stats().get("stale_replies"), Some(0));
        drop(asking);
        rep.close();
        let answered: usize = workers.into_iter().map(support::Task::join).sum();
        assert_eq!(answered, 3000, "over {transport:?}");
    }
}

#[test]
fn a_thousand_req_sockets_are_served_by_one_rep() {
    allow_descriptors(5000);
    for transport in Transport::ALL {
        let rep = Rep::new().expect("REP opens");
        let listener = rep.listen_with(transport.url(), &transport.listen_options());
        let listener = listener.expect("the address is free");
        let options = transport.dial_options();
        let workers = serve(&rep);
        let clients: Vec<Req> = (0..1000)
            .map(|_| {
                let req = Req::new().expect("REQ opens");
                req.dial_with(listener.endpoint(), &options).expect("somebody listens");
                req
            })
            .collect();
        for _ in 0..2 {
            for (client, number) in clients.iter().zip(0..) {
                ask(client, number);
            }
            for (number, client) in clients.iter().enumerate().rev() {
                expect_answer(client, number as u32);
            }
        }
        assert_eq!(rep.peers().len(), clients.len());
        drop(clients);
        wait_until("every client has left", || rep.peers().is_empty());
        rep.close();
        let answered: usize = workers.into_iter().map(support::Task::join).sum();
        assert_eq!(answered, 2000, "over {transport:?}");
    }
}

#[test]
fn a_context_that_is_dropped_takes_its_request_along_and_disturbs_no_other() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let mut asking = contexts(&req, 9);
        let answering = contexts(&rep, asking.len());
        ask_all(&asking);
        drop(asking.remove(4));
        // It gets the slot of the one that is gone, and must not get its reply.
        let next = req.context();
        answering.iter().for_each(answer_one);
        for (context, number) in asking.iter().zip([0, 1, 2, 3, 5, 6, 7, 8]) {
            expect_answer(context, number);
        }
        wait_until("the reply to the dropped one is counted", || {
            req.stats().get("stale_replies") == Some(1)
        });
        assert!(matches!(next.recv(), Err(RecvError::State { .. })), "it has asked nothing");
    }
}

#[test]
fn a_rep_context_that_is_dropped_leaves_its_request_unanswered_and_no_other() {
    let (rep, req) = pair(Transport::Tcp);
    let asking = contexts(&req, 2);
    let [leaving, staying] = [rep.context(), rep.context()];
    ask(&asking[0], 0);
    assert_eq!(recv_number(&leaving), 0);
    ask(&asking[1], 1);
    assert_eq!(recv_number(&staying), 1);
    drop(leaving);
    assert_eq!(rep.stats().get("unanswered"), Some(1));
    staying.send(answer_to(1)).expect("a request is held");
    expect_answer(&asking[1], 1);
    assert!(asking[0].try_recv().is_err_and(|error| error.is_empty()));
}

#[test]
fn a_receive_that_times_out_ends_the_request_of_its_context_only() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let asking = contexts(&req, 3);
        let answering = contexts(&rep, asking.len());
        ask_all(&asking);
        assert!(asking[1].recv_timeout(BLINK).is_err_and(|error| error.is_timeout()));
        answering.iter().for_each(answer_one);
        expect_answer(&asking[0], 0);
        expect_answer(&asking[2], 2);
        assert!(matches!(asking[1].recv(), Err(RecvError::State { .. })), "its request is over");
    }
}

/// sp-wire 8.15 item 161
#[test]
fn closing_the_socket_ends_what_waits_in_any_context() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let alone = Req::new().expect("REQ opens");
        let (asking, sending) = (contexts(&req, 6), contexts(&alone, 6));
        ask_all(&asking);
        let receiving: Vec<_> =
            asking.into_iter().map(|context| spawn(move || context.recv())).collect();
        let serving: Vec<_> = (0..6)
            .map(|_| {
                let context = rep.context();
                spawn(move || context.iter().count())
            })
            .collect();
        let sending: Vec<_> =
            sending.into_iter().map(|context| spawn(move || context.send("?"))).collect();
        receiving.iter().for_each(support::Task::wait_asleep);
        sending.iter().for_each(support::Task::wait_asleep);
        let kept = req.context();
        req.close();
        alone.close();
        for waited in receiving {
            assert!(waited.join().is_err_and(|error| error.is_closed()), "over {transport:?}");
        }
        for waited in sending {
            assert!(waited.join().is_err_and(|error| error.is_closed()), "over {transport:?}");
        }
        assert!(kept.send("?").is_err_and(|error| error.is_closed()));
        rep.close();
        let received: usize = serving.into_iter().map(support::Task::join).sum();
        assert_eq!(received, 6, "each request was received once, over {transport:?}");
    }
}

#[test]
fn a_context_of_a_closed_socket_is_closed() {
    let (rep, _req) = pair(Transport::Tcp);
    let other = rep.clone();
    rep.close();
    let context = other.context();
    assert!(context.recv().is_err_and(|error| error.is_closed()));
    assert!(context.send("?").is_err_and(|error| error.is_closed()));
    assert!(block_on(context.recv_async()).is_err_and(|error| error.is_closed()));
}

#[test]
fn a_context_keeps_its_socket_open_and_the_last_one_closes_it() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let [asking, other] = [req.context(), req.context()];
        drop(req);
        ask(&asking, 7);
        answer_one(&rep);
        expect_answer(&asking, 7);
        drop(asking);
        ask(&other, 8);
        drop(other);
        wait_until("the client has left", || rep.peers().is_empty());
    }
}

#[test]
fn threads_blocked_in_many_contexts_return_one_by_one_as_their_replies_come() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let answering = contexts(&rep, 24);
        let (tell, returned) = unbounded();
        let asking = contexts(&req, answering.len());
        ask_all(&asking);
        let threads: Vec<_> = asking
            .into_iter()
            .map(|context| {
                let tell = tell.clone();
                spawn(move || {
                    let reply = context.recv();
                    tell.send(()).expect("the test listens");
                    number_in(&reply.expect("the reply comes"))
                })
            })
            .collect();
        let held: Vec<u32> = answering.iter().map(recv_number).collect();
        threads.iter().for_each(support::Task::wait_asleep);
        for turn in 0..held.len() {
            let at = turn * 7 % held.len();
            assert!(returned.is_empty(), "nobody returns before its reply");
            answering[at].send(held[at].to_be_bytes()).expect("a request is held");
            returned.recv_timeout(DEADLINE).expect("the one whose reply came returns");
        }
        let got: Vec<u32> = threads.into_iter().map(support::Task::join).collect();
        assert_eq!(got, (0..held.len() as u32).collect::<Vec<_>>(), "each got its own");
    }
}

#[test]
fn a_reply_wakes_the_one_context_it_is_for() {
    for transport in Transport::ALL {
        let (rep, req) = pair(transport);
        let asking = contexts(&req, 300);
        let answering = contexts(&rep, asking.len());
        ask_all(&asking);
        let held: Vec<u32> = answering.iter().map(recv_number).collect();
        let mut waiting = Waiting::poll_all(asking.iter().map(Context::recv_async));
        for turn in 0..held.len() {
            let at = turn * 7 % held.len();
            answering[at].send(answer_to(held[at])).expect("a request is held");
            assert_eq!(waiting.next_woken(), held[at] as usize, "over {transport:?}");
            let reply = waiting.finish(held[at] as usize).expect("the reply is there");
            assert_eq!(reply, answer_to(held[at]));
        }
        assert!(waiting.woken.is_empty(), "nobody was woken in vain");
    }
}

#[test]
fn a_request_wakes_one_of_the_contexts_that_wait() {
    for transport in Transport::EVERY {
        let (rep, req) = pair(transport);
        let answering = contexts(&rep, 300);
        let asking = contexts(&req, answering.len());
        let mut waiting = Waiting::poll_all(answering.iter().map(Context::recv_async));
        for (context, number) in asking.iter().zip(0..) {
            ask(context, number);
            let woken = waiting.next_woken();
            let request = waiting.finish(woken).expect("the request is there");
            assert_eq!(number_in(&request), number);
            answering[woken].send(answer_to(number)).expect("a request is held");
            expect_answer(context, number);
        }
        assert!(waiting.woken.is_empty(), "nobody was woken in vain");
    }
}

#[test]
fn a_woken_receive_that_is_dropped_lets_another_context_have_the_request() {
    let (rep, req) = pair(Transport::Tcp);
    let answering = contexts(&rep, 3);
    let mut waiting = Waiting::poll_all(answering.iter().map(Context::recv_async));
    ask(&req, 5);
    let first = waiting.next_woken();
    waiting.futures[first] = None;
    let second = waiting.next_woken();
    assert_ne!(first, second);
    let request = waiting.finish(second).expect("the request is there");
    assert_eq!(number_in(&request), 5);
    drop(waiting);
    answering[second].send(answer_to(5)).expect("a request is held");
    expect_answer(&req, 5);
}

#[test]
fn a_woken_send_that_is_dropped_lets_another_context_have_the_room() {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    let asking = contexts(&req, 3);
    let sends = asking.iter().zip(0_u32..).map(|(ctx, n)| ctx.send_async(n.to_be_bytes()));
    let mut waiting = Waiting::poll_all(sends);
    connect(Transport::Tcp, &rep, &req);
    let first = waiting.next_woken();
    waiting.futures[first] = None;
    let second = waiting.next_woken();
    assert_ne!(first, second);
    waiting.finish(second).expect("there is room");
    drop(waiting);
    answer_one(&rep);
    expect_answer(&asking[second], second as u32);
}

#[test]
fn a_future_that_was_forgotten_does_not_keep_its_context() {
    let (rep, req) = pair(Transport::Tcp);
    let (waker, rung) = bell();
    let context = rep.context();
    {
        let mut forgotten = Box::pin(context.recv_async());
        let mut cx = TaskContext::from_waker(&waker);
        assert!(forgotten.as_mut().poll(&mut cx).is_pending());
        std::mem::forget(forgotten);
    }
    drop((context, waker));
    // Its waker went with it, rung or not: nobody is left to ring.
    wait_until("the waker is gone", || rung.try_recv().is_err_and(|why| why.is_disconnected()));
    ask(&req, 1);
    answer_one(&rep.context());
    expect_answer(&req, 1);
}

#[test]
fn the_requests_of_all_contexts_go_elsewhere_when_their_peer_is_lost() {
    let (rep, req) = pair(Transport::Tcp);
    let asking = contexts(&req, 10);
    ask_all(&asking);
    let held = contexts(&rep, asking.len());
    for context in &held {
        recv_number(context);
    }
    let other = Rep::new().expect("REP opens");
    connect(Transport::Ipc, &other, &req);
    let workers = serve(&other);
    rep.close();
    for (context, number) in asking.iter().zip(0..) {
        expect_answer(context, number);
    }
    other.close();
    assert_eq!(workers.into_iter().map(support::Task::join).sum::<usize>(), asking.len());
}

#[test]
fn surveys_of_all_contexts_go_on_at_a_time_and_everybody_answers_each() {
    const RESPONDENTS: u32 = 3;
    for transport in Transport::EVERY {
        let surveyor = patient_surveyor();
        let servers: Vec<_> = (0..RESPONDENTS)
            .map(|name| {
                let respondent = Respondent::new().expect("RESPONDENT opens");
                connect(transport, &respondent, &surveyor);
                for context in contexts(&respondent, 2) {
                    spawn(move || {
                        let mut surveys = context.iter();
                        surveys.try_for_each(|survey| {
                            context.send([&survey[..], &[name as u8]].concat())
                        })
                    });
                }
                respondent
            })
            .collect();
        let asking = contexts(&surveyor, 300);
        for (context, number) in asking.iter().zip(0_u32..) {
            context.send(number.to_be_bytes()).expect("a surveyor never waits");
        }
        for (number, context) in asking.iter().enumerate().rev() {
            let responses = (0..RESPONDENTS).map(|_| {
                let response = context.recv_timeout(DEADLINE).expect("everybody answers");
                assert_eq!(response[..4], (number as u32).to_be_bytes(), "to this survey");
                response[4]
            });
            let mut names: Vec<u8> = responses.collect();
            names.sort_unstable();
            assert_eq!(names, [0, 1, 2], "each of them once");
            assert!(context.try_recv().is_err_and(|error| error.is_empty()));
        }
        assert_eq!(surveyor.stats().get("stale_replies"), Some(0));
        for respondent in servers {
            respondent.close();
        }
    }
}

#[test]
fn the_end_of_a_survey_ends_every_receive_of_its_context_and_no_other() {
    for transport in Transport::EVERY {
        let (surveyor, silent) = (patient_surveyor(), Respondent::new().expect("it opens"));
        connect(transport, &silent, &surveyor);
        // Long enough to get in line before it is over.
        let short = SurveyorOptions::new().survey_time(10 * BLINK);
        let [short, long] =
            [surveyor.context_with(short).expect("a good time"), surveyor.context()];
        long.send("long?").expect("a surveyor never waits");
        short.send("short?").expect("a surveyor never waits");
        let mut waiting =
            Waiting::poll_all([&short, &short, &long].map(Context::recv_async).into_iter());
        let mut woken = [waiting.next_woken(), 0];
        assert!(waiting.finish(woken[0]).is_err_and(|error| error.is_survey_over()));
        woken[1] = waiting.next_woken();
        assert!(waiting.finish(woken[1]).is_err_and(|error| error.is_survey_over()));
        woken.sort_unstable();
        assert_eq!(woken, [0, 1], "the third waits on, over {transport:?}");
        assert_eq!(silent.recv_timeout(DEADLINE).expect("the first survey"), "long?");
        silent.send("at last").expect("a survey is held");
        assert_eq!(waiting.next_woken(), 2);
        assert_eq!(waiting.finish(2).expect("the response is there"), "at last");
    }
}

#[test]
fn the_resend_time_of_a_context_is_its_own() {
    let (rep, req) = pair(Transport::Tcp);
    let hasty = req.context_with(ReqOptions::new().resend_time(Some(BLINK))).expect("a good time");
    let once = req.context_with(ReqOptions::new().resend_time(None)).expect("no time is good");
    ask(&once, 1);
    ask(&req, 2);
    ask(&hasty, 3);
    let asked: Vec<_> = (0..5).map(|_| recv_number(&rep)).collect();
    assert_eq!(asked, [1, 2, 3, 3, 3], "one is sent again and again");
    // A request that is never sent again ends with its peer, while others wait for the next one.
    let mut lost = Box::pin(once.recv_async());
    assert!(lost.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending());
    rep.close();
    assert!(matches!(block_on(lost), Err(RecvError::PeerGone { .. })));
    let next = Rep::new().expect("REP opens");
    connect(Transport::Tcp, &next, &req);
    let asked = [recv_number(&next), recv_number(&next)];
    assert!(asked.contains(&2) && asked.contains(&3), "{asked:?}");
}

#[test]
fn options_out_of_their_range_open_no_context() {
    let (req, sub) = (Req::new().expect("REQ opens"), Sub::new().expect("SUB opens"));
    let refused = [
        req.context_with(ReqOptions::new().resend_time(Some(Duration::ZERO))).map(drop),
        sub.context_with(SubOptions::new().queue(0)).map(drop),
        patient_surveyor()
            .context_with(SurveyorOptions::new().survey_time(Duration::ZERO))
            .map(drop),
    ];
    let names = refused.map(|refused| refused.expect_err("it is out of range").option);
    assert_eq!(names, ["resend_time", "queue", "survey_time"]);
    assert!(format!("{:?}", req.context()).contains("context 1.0"), "none was opened");
}

#[test]
fn news_wake_the_subscribers_that_want_them_and_no_other() {
    for transport in Transport::EVERY {
        let (publisher, sub) = publishing(transport);
        let subscribed = contexts(&sub, 200);
        for (context, number) in subscribed.iter().zip(0_u32..) {
            context.subscribe(number.to_be_bytes());
        }
        let mut waiting = Waiting::poll_all(subscribed.iter().map(Context::recv_async));
        for turn in 0..200_u32 {
            let number = turn * 7 % 200;
            let wanted = [&number.to_be_bytes()[..], b" is the topic"].concat();
            publisher.send(&wanted[..]).expect("a publisher never waits");
            assert_eq!(waiting.next_woken(), number as usize, "over {transport:?}");
            let news = waiting.finish(number as usize).expect("the news are there");
            assert_eq!(news.body(), wanted);
            assert!(waiting.woken.is_empty(), "nobody else is woken");
        }
        assert_eq!(sub.stats().get("unwanted"), Some(0));
    }
}

#[test]
fn every_subscriber_gets_all_it_wants_in_threads_of_their_own() {
    const NEWS: u32 = 2_000;
    for transport in Transport::ALL {
        let (publisher, sub) = publishing(transport);
        let reads = |context: SubContext, wanted: Vec<u32>| {
            spawn(move || {
                for number in wanted {
                    let news = context.recv_timeout(DEADLINE).expect("the news come");
                    assert_eq!(news.body(), body_of(number), "in order and whole");
                }
                assert_eq!(context.missed(), 0);
            })
        };
        let readers: Vec<_> = (0..WORKERS as u8)
            .map(|kind| {
                let options = SubOptions::new().queue(NEWS as usize);
                let context = sub.context_with(options).expect("a good queue");
                // Half of them want everything, the others one kind each.
                let all = kind % 2 == 0;
                context.subscribe(if all { vec![] } else { vec![kind] });
                reads(context, (0..NEWS).filter(|n| all || n % 8 == u32::from(kind)).collect())
            })
            .collect();
        for number in 0..NEWS {
            publisher.send(body_of(number)).expect("a publisher never waits");
        }
        readers.into_iter().for_each(support::Task::join);
    }
}

#[test]
fn a_subscriber_that_is_dropped_takes_its_topics_along_and_nobody_elses() {
    for transport in Transport::EVERY {
        let (publisher, sub) = publishing(transport);
        let [leaving, staying] = [sub.context(), sub.context()];
        leaving.subscribe("");
        staying.subscribe("b");
        for news in ["a1", "b1"] {
            publisher.send(news).expect("a publisher never waits");
        }
        assert_eq!(staying.recv_timeout(DEADLINE).expect("the news come"), "b1");
        drop(leaving);
        assert_eq!(sub.stats().get("unwanted"), Some(2), "what waited for it");
        // It gets the slot of the one that is gone, and must not get its news.
        let next = sub.context();
        next.subscribe("b");
        for news in ["a2", "b2"] {
            publisher.send(news).expect("a publisher never waits");
        }
        for context in [&staying, &next] {
            assert_eq!(context.recv_timeout(DEADLINE).expect("the news come"), "b2");
        }
        assert_eq!(sub.stats().get("unwanted"), Some(3));
    }
}

#[test]
fn a_context_goes_where_threads_and_tasks_go() {
    fn anywhere<T: Send + Sync + 'static>(_: &T) {}
    fn to_other_threads<T: Send>(_: &T) {}

    /// What takes a context takes a socket as well.
    fn takes_both(context: &ReqContext) -> bool {
        context.try_recv().is_err_and(|error| !error.is_empty())
    }

    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    let context = rep.context();
    anywhere(&context);
    anywhere(&req.context());
    to_other_threads(&context.recv_async());
    to_other_threads(&context.send_async("?"));
    assert!(takes_both(&req) && takes_both(&req.context()));
    assert!(format!("{context:?}").contains("context 1.0"), "{context:?}");
}

/// A REQ connected to a REP.
fn pair(transport: Transport) -> (Rep, Req) {
    let (rep, req) = (Rep::new().expect("REP opens"), Req::new().expect("REQ opens"));
    connect(transport, &rep, &req);
    (rep, req)
}

/// A SUB connected to a PUB.
fn publishing(transport: Transport) -> (Pub, Sub) {
    let publisher = Pub::with(sp::PubOptions::new().queue(10_000)).expect("PUB opens");
    let sub = Sub::new().expect("SUB opens");
    connect(transport, &publisher, &sub);
    (publisher, sub)
}

/// A SURVEYOR whose surveys outlast every test.
fn patient_surveyor() -> Surveyor {
    let options = SurveyorOptions::new().survey_time(DEADLINE);
    Surveyor::with(options).expect("SURVEYOR opens")
}

/// News of one of eight kinds, every tenth long enough for a buffer that its readers share.
fn body_of(number: u32) -> Vec<u8> {
    let mut body = vec![(number % 8) as u8];
    body.extend(number.to_be_bytes());
    body.resize(if number.is_multiple_of(10) { 5_000 } else { 20 }, number as u8);
    body
}

fn contexts<E: ContextEngine>(socket: &Socket<E>, count: usize) -> Vec<Context<E>> {
    (0..count).map(|_| socket.context()).collect()
}

/// Contexts in threads of their own that answer until the socket closes, and tell how often they did.
fn serve(rep: &Rep) -> Vec<support::Task<usize>> {
    let answers = |context: Context<_>| {
        let requests = context.iter().map(|request| number_in(&request));
        requests.map(|number| context.send(answer_to(number))).filter(Result::is_ok).count()
    };
    let contexts = contexts(rep, WORKERS).into_iter();
    contexts.map(|context| spawn(move || answers(context))).collect()
}

/// Asks with each context its own number.
fn ask_all(contexts: &[ReqContext]) {
    contexts.iter().zip(0..).for_each(|(context, number)| ask(context, number));
}

fn ask(context: &ReqContext, number: u32) {
    context.send_timeout(number.to_be_bytes(), DEADLINE).expect("REP is connected");
}

fn expect_answer(context: &ReqContext, number: u32) {
    let reply = context.recv_timeout(DEADLINE).expect("the reply comes");
    assert_eq!(reply, answer_to(number));
}

fn answer_one(context: &RepContext) {
    let number = recv_number(context);
    context.send(answer_to(number)).expect("a request is held");
}

fn recv_number(context: &RepContext) -> u32 {
    number_in(&context.recv_timeout(DEADLINE).expect("the request comes"))
}

fn number_in(request: &[u8]) -> u32 {
    u32::from_be_bytes(request.try_into().expect("a request is a number"))
}

/// Different from its question, and from all other answers.
fn answer_to(number: u32) -> [u8; 8] {
    (u64::from(number) << 32 | u64::from(!number)).to_be_bytes()
}

/// Futures that wait, each of which tells its number when it is woken.
struct Waiting<F> {
    futures: Vec<Option<Pin<Box<F>>>>,
    wakers: Vec<Waker>,
    woken: Receiver<usize>,
}

impl<F: Future> Waiting<F> {
    /// Polls each once; none may be ready.
    fn poll_all(futures: impl Iterator<Item = F>) -> Self {
        let (tell, woken) = unbounded();
        let mut all = Self { futures: Vec::new(), wakers: Vec::new(), woken };
        for (number, future) in futures.enumerate() {
            all.futures.push(Some(Box::pin(future)));
            all.wakers.push(Waker::from(Arc::new(Numbered { number, tell: tell.clone() })));
            assert!(all.poll(number).is_pending(), "nothing is there yet");
        }
        all
    }

    /// Who is woken next.
    fn next_woken(&self) -> usize {
        self.woken.recv_timeout(DEADLINE).expect("somebody is woken")
    }

    /// The output of a future that has been woken.
    fn finish(&mut self, number: usize) -> F::Output {
        let Poll::Ready(output) = self.poll(number) else { panic!("{number} was woken in vain") };
        self.futures[number] = None;
        output
    }

    fn poll(&mut self, number: usize) -> Poll<F::Output> {
        let future = self.futures[number].as_mut().expect("it has not ended");
        future.as_mut().poll(&mut TaskContext::from_waker(&self.wakers[number]))
    }
}

struct Numbered {
    number: usize,
    tell: Sender<usize>,
}

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        // Nobody listens any more when the test is over.
        let _ = self.tell.send(self.number);
    }
}

/// Tasks that one thread runs. Each is polled only when woken.
struct Tasks {
    tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    tell: Sender<usize>,
    woken: Receiver<usize>,
}

impl Default for Tasks {
    fn default() -> Self {
        let (tell, woken) = unbounded();
        Self { tasks: Vec::new(), tell, woken }
    }
}

impl Tasks {
    fn add(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tell.send(self.tasks.len()).expect("the other end is here");
        self.tasks.push(Box::pin(task));
    }

    /// Runs all to their ends.
    fn run(mut self) {
        let tell = &self.tell;
        let wakers: Vec<_> = (0..self.tasks.len())
            .map(|number| Waker::from(Arc::new(Numbered { number, tell: tell.clone() })))
            .collect();
        let mut done = vec![false; self.tasks.len()];
        let mut left = self.tasks.len();
        while left > 0 {
            let number = self.woken.recv_timeout(DEADLINE).expect("no task is ever woken");
            if done[number] {
                continue;
            }
            let mut cx = TaskContext::from_waker(&wakers[number]);
            if self.tasks[number].as_mut().poll(&mut cx).is_ready() {
                done[number] = true;
                left -= 1;
            }
        }
    }
}

/// Lets the process have as many descriptors as the system allows, which must be `wanted` at least.
fn allow_descriptors(wanted: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and is filled by the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    assert!(limit.rlim_max >= wanted, "this needs {wanted} descriptors: raise `ulimit -Hn`");
    limit.rlim_cur = limit.rlim_cur.max(wanted);
    // SAFETY: `limit` is live and is only read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// More than most machines that run this have cores.
const WORKERS: usize = 8;

const ROUNDS: u32 = 20;

/// Short: it is waited for in full.
const BLINK: Duration = Duration::from_millis(20);
