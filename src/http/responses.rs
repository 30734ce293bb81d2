//! The error answers that several routes share, for their description. [`super::error::ApiError`] makes them.

use utoipa::IntoResponses;

use super::error::ErrorBody;

/// The answer of every route under `/internal`.
#[derive(IntoResponses)]
#[response(status = 401, description = "The key is missing or wrong")]
#[expect(dead_code, reason = "describes an answer and is never made")]
pub(super) struct Unauthorized(ErrorBody);

/// The answer of every route that asks the database.
#[derive(IntoResponses)]
#[response(status = 503, description = "The database did not answer")]
#[expect(dead_code, reason = "describes an answer and is never made")]
pub(super) struct NoDatabase(ErrorBody);

/// The answer of every route whose query can be wrong.
#[derive(IntoResponses)]
#[response(status = 400, description = "A parameter is wrong")]
#[expect(dead_code, reason = "describes an answer and is never made")]
pub(super) struct BadQuery(ErrorBody);

/// The answer of every route whose path names a mission.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers and is never made")]
pub(super) enum MissionErrors {
    #[response(status = 400, description = "An id is not one")]
    BadId(ErrorBody),
    #[response(status = 404, description = "This user has no such mission")]
    NotFound(ErrorBody),
}
