//! What a connection is, in less than half the room: there may be thousands, and few are ever asked.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use sp_core::endpoint::Endpoint;
use sp_core::pipe::{Credentials, PipeInfo, ProtocolId};

/// A [`PipeInfo`], packed.
pub(crate) struct PackedInfo {
    endpoint: Arc<Endpoint>,
    ends: Ends,
    peer_protocol: ProtocolId,
    dialed: bool,
}

/// Our address and who the peer is.
enum Ends {
    Unknown,
    V4 { local: SocketAddrV4, peer: SocketAddrV4 },
    Other(Box<OtherEnds>),
}

struct OtherEnds {
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    certificate: Option<Arc<[u8]>>,
    credentials: Option<Credentials>,
}

impl PackedInfo {
    pub(crate) fn new(info: PipeInfo) -> Self {
        let (certificate, credentials) = (info.peer_certificate, info.credentials);
        let is_proven = certificate.is_some() || credentials.is_some();
        let ends = match (info.local_addr, info.peer_addr) {
            (None, None) if !is_proven => Ends::Unknown,
            (Some(SocketAddr::V4(local)), Some(SocketAddr::V4(peer))) if !is_proven => {
                Ends::V4 { local, peer }
            }
            (local, peer) => {
                Ends::Other(Box::new(OtherEnds { local, peer, certificate, credentials }))
            }
        };
        Self {
            endpoint: info.endpoint,
            ends,
            peer_protocol: info.peer_protocol,
            dialed: info.dialed,
        }
    }

    /// The transport's name.
    pub(crate) fn transport(&self) -> &'static str {
        self.endpoint.scheme()
    }

    pub(crate) fn unpack(&self) -> PipeInfo {
        let mut info = PipeInfo::new(Arc::clone(&self.endpoint), self.dialed, self.peer_protocol);
        match &self.ends {
            Ends::Unknown => {}
            Ends::V4 { local, peer } => {
                info.local_addr = Some((*local).into());
                info.peer_addr = Some((*peer).into());
            }
            Ends::Other(other) => {
                (info.local_addr, info.peer_addr) = (other.local, other.peer);
                info.peer_certificate.clone_from(&other.certificate);
                info.credentials = other.credentials;
            }
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
