//! Who is connected.

use std::time::Duration;

use sp_core::clock;
use sp_core::id::PeerId;
use sp_core::pipe::PipeInfo;

use super::Socket;
use super::error::TooFewPeers;
use crate::engine::Engine;

impl<E: Engine> Socket<E> {
    /// The peers that are connected now.
    pub fn peers(&self) -> Vec<PeerId> {
        self.shared().peers.all().iter().map(|peer| peer.id()).collect()
    }

    /// Who a connected peer is: its address, through which endpoint it came, and on ipc whose process it is. `None`
    /// once it is gone.
    ///
    /// Every received message names its peer:
    ///
    /// ```
    /// # use sp_protocols::sockets as sp;
    /// # let (rep, req) = (sp::Rep::new()?, sp::Req::new()?);
    /// # req.dial(rep.listen("tcp://127.0.0.1:0")?.endpoint())?;
    /// # req.send("who am I?")?;
    /// let request = rep.recv()?;
    /// let asker = request.source().and_then(|peer| rep.peer(peer));
    /// rep.send(match asker.and_then(|asker| asker.peer_addr) {
    ///     Some(addr) => format!("you are at {addr}"),
    ///     None => "you have left, or have no address".to_owned(),
    /// })?;
    /// # assert!(req.recv()?.starts_with(b"you are at 127.0.0.1:"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peer(&self, peer: PeerId) -> Option<PipeInfo> {
        self.shared().peers.get(peer).map(|peer| peer.attached().info())
    }

    /// Waits until at least `count` peers are connected, for at most `timeout`.
    ///
    /// For programs that know how many to expect: what is published before a subscriber is connected does not reach
    /// it.
    ///
    /// # Errors
    ///
    /// [`TooFewPeers`] if time runs out or the socket is closed.
    pub fn wait_for_peers(&self, count: usize, timeout: Duration) -> Result<(), TooFewPeers> {
        let deadline = clock::now().checked_add(timeout);
        // Before the first look, so that nobody comes unnoticed in between.
        let events = self.events();
        loop {
            let connected = self.shared().connected();
            if connected >= count {
                return Ok(());
            }
            let news = match deadline {
                Some(deadline) => events.recv_deadline(deadline).is_ok(),
                None => events.recv().is_ok(),
            };
            if !news {
                return Err(TooFewPeers { protocol: E::SELF, wanted: count, connected });
            }
        }
    }
}
