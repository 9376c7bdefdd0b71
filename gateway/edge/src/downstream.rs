//! What an answer is written to: a connection of HTTP/1, or a stream of HTTP/2.

use crate::fields::AnswerHead;
use crate::serve::Cut;
use bytes::Bytes;
use cache::Stretch;

/// How many bytes of a stretch went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// As many as should at once.
    On(u64),
    /// As many as there was room for: the rest has to wait.
    Full(u64),
}

/// Takes one answer: its head, its body in pieces, its end. After a [`Cut`] nothing more may be written, and the connection or stream
/// must break off: a part must not pass for the whole.
pub(crate) trait Downstream: Send {
    /// The head. It may wait for the first bytes of the body, or for the end.
    fn head(&mut self, head: AnswerHead) -> impl Future<Output = Result<(), Cut>> + Send;

    /// Bytes of the body; all of them have been taken when this returns.
    fn bytes(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Cut>> + Send;

    /// Bytes of stretches that are best handed over in one turn.
    fn turn(&mut self) -> u64;

    /// At most `most` bytes of the beginning of a stretch, as many as go out without waiting. Asked for only
    /// where [`crate::exchange::Asked`] says that stretches can be sent.
    fn stretch(&mut self, stretch: &Stretch, most: u64) -> impl Future<Output = Result<Went, Cut>> + Send;

    /// The end of the body.
    fn end(&mut self) -> impl Future<Output = Result<(), Cut>> + Send;
}
