//! What our HTTP server is known to answer.

/// The route of a path that is none of ours. The path itself would be a series per stranger's idea.
pub const UNMATCHED: &str = "unmatched";

/// Method, route and status of the answers to expect beside those of the routes that are described.
pub(super) const KNOWN_ANSWERS: [[&str; 3]; 4] = [
    ["GET", "/metrics", "200"],
    ["GET", "/internal/openapi.json", "200"],
    ["GET", "/internal/openapi.json", "401"],
    ["GET", UNMATCHED, "404"],
];

/// The same without the status.
pub(super) fn known_routes() -> impl Iterator<Item = [&'static str; 2]> {
    KNOWN_ANSWERS.into_iter().map(|[method, route, _]| [method, route])
}
