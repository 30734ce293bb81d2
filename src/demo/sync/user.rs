//! Who is asking.

use axum::extract::FromRequestParts;
use axum::http::{StatusCode, header, request::Parts};

use super::error::SyncError;

/// The user id of `Authorization: Bearer <user id>`.
pub(super) struct User(pub String);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = SyncError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SyncError> {
        let header = parts.headers.get(header::AUTHORIZATION);
        // A browser sends each character up to U+00FF as one byte.
        let text: String = header
            .map(|value| value.as_bytes().iter().copied().map(char::from))
            .into_iter()
            .flatten()
            .collect();
        let user = text.strip_prefix("Bearer ").map(str::trim).filter(|user| !user.is_empty());
        let nobody = || {
            SyncError(
                StatusCode::UNAUTHORIZED,
                "the header `Authorization: Bearer <user id>` is missing".into(),
            )
        };
        user.map(|user| Self(user.to_owned())).ok_or_else(nobody)
    }
}
