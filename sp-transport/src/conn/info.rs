//! What a connection is, in less than half the room: there may be thousands, and few are ever asked.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use sp_core::endpoint::Endpoint;
use sp_core::pipe::{Credentials, PipeInfo, ProtocolId};

/// A [`PipeInfo`], packed.
pub(crate) struct PackedInfo {
    endpoint: Arc<Endpoint>,
    addrs: Addrs,
    proof: Option<Box<Proof>>,
    peer_protocol: ProtocolId,
    dialed: bool,
}

/// Ours and the peer's.
enum Addrs {
    None,
    V4 { local: SocketAddrV4, peer: SocketAddrV4 },
    Other(Box<OtherAddrs>),
}

struct OtherAddrs {
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
}

/// Who the peer is.
struct Proof {
    certificate: Option<Arc<[u8]>>,
    credentials: Option<Credentials>,
}

impl PackedInfo {
    pub(crate) fn new(info: PipeInfo) -> Self {
        let addrs = match (info.local_addr, info.peer_addr) {
            (None, None) => Addrs::None,
            (Some(SocketAddr::V4(local)), Some(SocketAddr::V4(peer))) => Addrs::V4 { local, peer },
            (local, peer) => Addrs::Other(Box::new(OtherAddrs { local, peer })),
        };
        let proof = Proof { certificate: info.peer_certificate, credentials: info.credentials };
        let is_known = proof.certificate.is_some() || proof.credentials.is_some();
        Self {
            endpoint: info.endpoint,
            addrs,
            proof: is_known.then(|| Box::new(proof)),
            peer_protocol: info.peer_protocol,
            dialed: info.dialed,
        }
    }

    pub(crate) fn unpack(&self) -> PipeInfo {
        let mut info = PipeInfo::new(Arc::clone(&self.endpoint), self.dialed, self.peer_protocol);
        (info.local_addr, info.peer_addr) = match &self.addrs {
            Addrs::None => (None, None),
            Addrs::V4 { local, peer } => (Some((*local).into()), Some((*peer).into())),
            Addrs::Other(other) => (other.local, other.peer),
        };
        if let Some(proof) = &self.proof {
            info.peer_certificate.clone_from(&proof.certificate);
            info.credentials = proof.credentials;
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let endpoint: Arc<Endpoint> = Arc::new("tcp://127.0.0.1:1".parse().unwrap());
        let addrs = [None, Some("127.0.0.1:1"), Some("10.1.2.3:65535"), Some("[fe80::1%7]:9")]
            .map(|addr| addr.map(|addr| addr.parse::<SocketAddr>().unwrap()));
        let certificates = [None, Some(Arc::from([1, 2, 3]))];
        let credentials = [None, Some(Credentials { uid: 1, gid: 2, pid: Some(3) })];
        for (local_addr, peer_addr) in
            addrs.iter().flat_map(|a| addrs.iter().map(move |b| (*a, *b)))
        {
            for (certificate, credentials) in certificates.iter().zip(credentials) {
                let info = PipeInfo {
                    local_addr,
                    peer_addr,
                    peer_certificate: certificate.clone(),
                    credentials,
                    ..PipeInfo::new(Arc::clone(&endpoint), local_addr.is_some(), ProtocolId::REP)
                };
                let unpacked = PackedInfo::new(info.clone()).unpack();
                assert_eq!(format!("{unpacked:?}"), format!("{info:?}"));
            }
        }
        assert!(size_of::<PackedInfo>() <= size_of::<PipeInfo>() / 2);
    }
}
