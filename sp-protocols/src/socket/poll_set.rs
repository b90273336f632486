//! How a socket is driven: by the program's own event loop, and how long a waiting call polls.

use std::io;
use std::time::Duration;

use sp_transport::PollSet;

use super::Socket;
use crate::engine::Engine;

impl<E: Engine> Socket<E> {
    /// Puts the socket into the care of the program's own event loop: a descriptor to wait for, and a call that does
    /// the socket's I/O on the thread that makes it. No thread of this library takes part in sending or receiving
    /// then.
    ///
    /// ```
    /// # use sp_protocols::sockets as sp;
    /// use std::os::fd::AsRawFd;
    /// use mio::unix::SourceFd;
    ///
    /// let (pull, push) = (sp::Pull::new()?, sp::Push::new()?);
    /// push.dial(pull.listen("tcp://127.0.0.1:0")?.endpoint())?;
    /// let mut poll_set = pull.poll_set()?;
    ///
    /// // Any loop does that waits for descriptors to become readable.
    /// let (mut poll, mut events) = (mio::Poll::new()?, mio::Events::with_capacity(8));
    /// let source = &mut SourceFd(&poll_set.as_raw_fd());
    /// poll.registry().register(source, mio::Token(0), mio::Interest::READABLE)?;
    ///
    /// push.send("work")?;
    /// let received = loop {
    ///     poll.poll(&mut events, None)?;
    ///     let _ = poll_set.drive();
    ///     if let Some(message) = pull.try_iter().next() {
    ///         break message;
    ///     }
    /// };
    /// assert_eq!(received, "work");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the socket is closed or has a poll set already, or the system has no descriptor left.
    pub fn poll_set(&self) -> io::Result<PollSet> {
        PollSet::new(&self.shared().driver)
    }

    /// How long a call that waits polls before it sleeps, at the most: 100 µs unless set. Zero switches it off.
    ///
    /// To be woken costs tens of microseconds, so polling makes conversations faster where a core is free for it, and
    /// less than the time of one wake-up never pays. It adapts: where it brings nothing it is left out for more and
    /// more waits. Counts from the next wait on, for all handles of the socket.
    pub fn set_polling(&self, budget: Duration) {
        self.shared().driver.set_polling(budget);
    }
}
