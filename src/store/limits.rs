//! How much of one mission is read: what is over it is set aside, with its size.

/// The most text of `data` that is read of a mission at a time, and the longest value that is read at all, in bytes. Five
/// thousand iterations of 1 kB have 5 MB.
pub const LIMIT: usize = 8 * 1024 * 1024;
/// The memory that all missions which are being read or written may take together, and so the most that one may take, in
/// bytes. It leaves a third of 128 MiB to everything else: docs/operations.md, "Memory".
pub const ROOM: usize = 80 * 1024 * 1024;
/// The most rows of a mission. Ten thousand rows have five thousand iterations.
pub const MAX_ROWS: usize = 50_000;
