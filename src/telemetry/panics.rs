//! What a panic tells.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// Instead of its message, which may repeat what was at hand: slicing a text in the middle of a character
/// prints that text. A message that was written as it is, without anything put in, is ours.
pub(super) fn log_their_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(tracing::field::display);
        // There is one if RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        let backtrace = backtrace.as_ref().map(tracing::field::display);
        tracing::error!(place, own_words = own_words(panic), backtrace, "panicked");
    }));
}

fn own_words(panic: &PanicHookInfo<'_>) -> Option<&'static str> {
    panic.payload().downcast_ref::<&'static str>().copied()
}
