//! What hyper refuses by itself, such as headers without end, it answers with an empty body. Ours have one, as the errors
//! of the routes do.

use std::io::{ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's connection whose refusals say why. A write is one answer of hyper's as long as it fits the buffer, as a
/// head without a body does.
#[derive(Debug)]
pub(super) struct NamedRefusals<S> {
    stream: S,
    /// What is still to be written in place of hyper's refusal.
    named: Vec<u8>,
}

impl<S> NamedRefusals<S> {
    pub(super) fn of(stream: S) -> Self {
        Self { stream, named: Vec::new() }
    }
}

/// The answer to write in place of a refusal with an empty body; `None` where this is none. No answer of the routes is
/// one: their refusals have a body.
fn named(answer: &[u8]) -> Option<Vec<u8>> {
    let head = str::from_utf8(answer).ok()?.strip_suffix("\r\n\r\n")?;
    let why = match head.strip_prefix("HTTP/1.1 ")?.get(..3)? {
        "400" => "this is no HTTP request that can be read",
        "414" => "the path is too long",
        "431" => "the head of the request is over 16 KiB, or has over a hundred headers",
        _ => return None,
    };
    let body = format!(r#"{{"error":"{why}"}}"#);
    let length = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    let head = head.contains("content-length: 0").then(|| head.replacen("content-length: 0", &length, 1))?;
    Some(format!("{head}\r\n\r\n{body}").into_bytes())
}

impl<S: AsyncRead + Unpin> AsyncRead for NamedRefusals<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NamedRefusals<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, answer: &[u8]) -> Poll<Result<usize>> {
        // After "pending" hyper offers the same answer again.
        if self.named.is_empty() {
            match named(answer) {
                Some(named) => self.named = named,
                None => return Pin::new(&mut self.stream).poll_write(cx, answer),
            }
        }
        let Self { stream, named } = &mut *self;
        while !named.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, named))?;
            // Nothing more can be written: the same again would end no more than this time.
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            named.drain(..written);
        }
        Poll::Ready(Ok(answer.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that takes nothing.
    struct Full;

    impl AsyncWrite for Full {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<Result<usize>> {
            Poll::Ready(Ok(0))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Full {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_stream_that_takes_nothing_ends_the_write() {
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let mut refusals = NamedRefusals::of(Full);
        let written =
            Pin::new(&mut refusals).poll_write(&mut Context::from_waker(std::task::Waker::noop()), answer);
        let Poll::Ready(Err(error)) = written else { panic!("{written:?}") };
        assert_eq!(error.kind(), ErrorKind::WriteZero);
    }
}
