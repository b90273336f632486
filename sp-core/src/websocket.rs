//! What peers get wrong when they speak WebSocket.

/// What was wrong with a peer's HTTP request or answer, which comes before the first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeFault {
    /// It was not HTTP, or malformed.
    #[error("it is no HTTP")]
    Malformed,
    /// The request line and headers, or the status line and headers, were longer than is read.
    #[error("its headers are too long")]
    TooLarge,
    /// HTTP other than 1.1.
    #[error("its HTTP version is not 1.1")]
    HttpVersion,
    /// A transfer encoding, which an upgrade has no use for.
    #[error("it has a Transfer-Encoding")]
    TransferEncoding,
    /// No `Host`, or several.
    #[error("it has no single Host")]
    Host,
    /// Nobody listens at the path.
    #[error("nobody listens at its path")]
    Path,
    /// A method that is not answered at all, such as POST.
    #[error("its method is not GET")]
    Method,
    /// HEAD asks about a resource, and does not upgrade.
    #[error("it is a HEAD request, which upgrades nothing")]
    Head,
    /// A body was announced.
    #[error("it has a body")]
    Body,
    /// `Upgrade` does not name `websocket`.
    #[error("it does not upgrade to websocket")]
    Upgrade,
    /// `Connection` does not name `upgrade`.
    #[error("its Connection is not upgrade")]
    Connection,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("its WebSocket version is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is not what 16 bytes look like in base64.
    #[error("its Sec-WebSocket-Key is malformed")]
    Key,
    /// No subprotocol, or none that this library knows.
    #[error("it names no subprotocol of the Scalability Protocols")]
    Subprotocol,
    /// The answer's `Sec-WebSocket-Accept` does not belong to our key.
    #[error("its Sec-WebSocket-Accept is wrong")]
    Accept,
    /// The answer was no upgrade.
    #[error("it has the HTTP status {0} and not 101")]
    Status(u16),
}

/// A frame, or an order of frames, that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameFault {
    /// A bit reserved for extensions, of which none was agreed upon.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// An opcode without a meaning.
    #[error("the opcode {got} does not exist")]
    Opcode {
        /// The opcode that came.
        got: u8,
    },
    /// A text message: these protocols are binary.
    #[error("it is text, and messages are binary")]
    Text,
    /// A client has to mask its frames.
    #[error("a client's frame is not masked")]
    Unmasked,
    /// A server does not mask its frames.
    #[error("a server's frame is masked")]
    Masked,
    /// A length that a shorter form can say.
    #[error("its length is not in the shortest form")]
    LongForm,
    /// A control frame that has more than 125 bytes, or not all of its message.
    #[error("a control frame is longer than 125 bytes or fragmented")]
    Control,
    /// A continuation of nothing.
    #[error("it continues a message that never began")]
    Unstarted,
    /// A new message before the last fragment of another.
    #[error("it begins a message inside another")]
    Interrupted,
    /// A close frame with half a status code.
    #[error("a close frame has half a status code")]
    HalfCode,
    /// A close frame with a status code that does not exist, or that nobody may send.
    #[error("the status code {got} of a close frame does not exist")]
    CloseCode {
        /// The code that came.
        got: u16,
    },
    /// A close frame whose reason is no text.
    #[error("the reason in a close frame is no UTF-8")]
    CloseText,
}
