//! The page's files.

use std::path::PathBuf;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tower_http::services::ServeDir;

/// Answers every path that is no route of `routes` with the file of that name in `folder`.
pub(super) fn serve(routes: Router, folder: PathBuf) -> Router {
    let files = Router::new().fallback_service(ServeDir::new(folder)).layer(from_fn(with_headers));
    routes.fallback_service(files)
}

/// A name below `/assets/` has its content's hash in it. Everything else is asked for again, so that a new build shows.
async fn with_headers(request: Request, next: Next) -> Response {
    let is_hashed = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let is_there = response.status().is_success();
    let caching = if is_hashed && is_there { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/html") {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    response
}
