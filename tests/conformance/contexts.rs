use std::pin::pin;

use sp::{
    Context, ContextEngine, Rep, Req, Respondent, Socket, Sub, Surveyor, SurveyorOptions,
    TunableEngine,
};
use sp_protocols::engine::{self, RecvEngine};

use crate::shared::{Transport, connect};
use crate::support::{DEADLINE, assert_lacks, block_on, poll_once};

/// sp-wire 8.15 item 161
#[test]
fn patterns_without_conversations_have_no_contexts() {
    assert_lacks!(engine::Pub: ContextEngine);
    assert_lacks!(engine::Push: ContextEngine);
    assert_lacks!(engine::Pull: ContextEngine);
    // And there is nothing to set for one conversation that answers.
    assert_lacks!(engine::Rep: TunableEngine);
    assert_lacks!(engine::Respondent: TunableEngine);
}

/// A receive that waits in a context, and one that comes later, end when the socket is closed.
fn ends<E: ContextEngine + RecvEngine>(socket: Socket<E>, asked: impl Fn(&Context<E>)) {
    let [waits, comes_later] = [socket.context(), socket.context()];
    asked(&waits);
    let mut waiting = pin!(waits.recv_async());
    assert!(poll_once(waiting.as_mut()).is_pending());
    socket.close();
    assert!(block_on(waiting).is_err_and(|error| error.is_closed()));
    assert!(comes_later.recv().is_err_and(|error| error.is_closed()));
}

/// sp-wire 8.15 item 161
#[test]
fn closing_a_socket_closes_its_contexts() {
    for transport in Transport::ALL {
        let (rep, idle, req) = (Rep::new().unwrap(), Rep::new().unwrap(), Req::new().unwrap());
        connect(transport, &rep, &req);
        ends(rep, |_| {});
        connect(transport, &idle, &req);
        ends(req, |context| context.send_timeout("?", DEADLINE).unwrap());
        let options = SurveyorOptions::new().survey_time(DEADLINE);
        let (respondent, surveyor) = (Respondent::new().unwrap(), Surveyor::with(options).unwrap());
        connect(transport, &respondent, &surveyor);
        ends(respondent, |_| {});
        ends(surveyor, |context| context.send("?").unwrap());
        ends(Sub::new().unwrap(), |context| context.subscribe(""));
    }
}
