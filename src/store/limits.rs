//! How much of one mission is read: what is over it is set aside, with its size.

/// The most text of `data` that is read of a mission at a time, and the longest value that is read at all, in bytes. Five
/// thousand iterations of 1 kB have 5 MB. While such a mission is planned it takes many times its text.
pub const LIMIT: usize = 8 * 1024 * 1024;
/// The most rows of a mission. Their clocks take up to a kilobyte each. Ten thousand rows have five thousand iterations.
pub const MAX_ROWS: usize = 50_000;
