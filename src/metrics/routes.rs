//! What our HTTP server is known to answer.

/// The route of a path that is none of ours. The path itself would be a series per stranger's idea.
pub const UNMATCHED: &str = "unmatched";

/// Method, route and status of the answers to expect: they are counted from zero.
pub(super) const KNOWN_ANSWERS: [[&str; 3]; 7] = [
    ["GET", "/health", "200"],
    ["GET", "/ready", "200"],
    ["GET", "/ready", "503"],
    ["GET", "/metrics", "200"],
    ["POST", "/internal/tick", "200"],
    ["POST", "/internal/tick", "401"],
    ["GET", UNMATCHED, "404"],
];

/// The same without the status.
pub(super) fn known_routes() -> impl Iterator<Item = [&'static str; 2]> {
    KNOWN_ANSWERS.into_iter().map(|[method, route, _]| [method, route])
}
