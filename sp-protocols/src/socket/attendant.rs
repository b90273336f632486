//! The thread that waits for room in channels, which nothing else can: a channel tells only who waits for it.

use std::io;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;
use std::thread;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, bounded};
use sp_core::message::Message;
use sp_core::process::PerProcess;
use sp_core::sync::lock;

/// One for all receivers of the process. The thread starts with the first of them and ends with the last.
pub(super) struct Attendant {
    /// Rung when somebody has arrived; hung up when this is gone.
    bell: Sender<()>,
    /// At most one for each receiver.
    arrivals: Mutex<Vec<Watch>>,
}

/// A channel that is full, and who wants to know when it is not.
struct Watch {
    outlet: Sender<Message>,
    waker: Waker,
}

static ATTENDANT: PerProcess<Mutex<Weak<Attendant>>> = PerProcess::first(Mutex::new(Weak::new()));

impl Attendant {
    pub(super) fn acquire() -> io::Result<Arc<Self>> {
        let mut current = lock(ATTENDANT.or_default());
        if let Some(attendant) = current.upgrade() {
            return Ok(attendant);
        }
        let (bell, rung) = bounded(1);
        let attendant = Arc::new(Self { bell, arrivals: Mutex::default() });
        let weak = Arc::downgrade(&attendant);
        *current = Weak::clone(&weak);
        thread::Builder::new().name("sp-hand-out".into()).spawn(move || attend(&weak, &rung))?;
        Ok(attendant)
    }

    /// Wakes `waker` once `outlet` has room or nobody receives from it any more.
    pub(super) fn watch(&self, outlet: Sender<Message>, waker: Waker) {
        lock(&self.arrivals).push(Watch { outlet, waker });
        // Full: it has been rung, and not been heard yet.
        let _ = self.bell.try_send(());
    }
}

fn attend(attendant: &Weak<Attendant>, rung: &Receiver<()>) {
    let mut watched: Vec<Watch> = Vec::new();
    loop {
        let mut select = Select::new();
        for watch in &watched {
            select.send(&watch.outlet);
        }
        let bell = select.recv(rung);
        let ready = select.ready();
        if ready != bell {
            watched.swap_remove(ready).waker.wake();
            continue;
        }
        match rung.try_recv() {
            Ok(()) => {
                if let Some(attendant) = attendant.upgrade() {
                    watched.append(&mut lock(&attendant.arrivals));
                }
            }
            Err(TryRecvError::Empty) => {}
            // Whoever is watched for has an attendant, so nobody is.
            Err(TryRecvError::Disconnected) => return,
        }
    }
}
