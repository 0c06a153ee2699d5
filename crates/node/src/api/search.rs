//! Searching, over everything that the node can ask.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::Params;
use super::{Ctx, Shared};
use crate::search::{Asked, SearchQuery, SearchResult};

/// Results unless a limit is given.
const LIMIT_DEFAULT: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(search))
}

/// A question.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Question {
    /// Words that names begin with; `type:video`, `size:>1G` and `-word` narrow it.
    q: String,
    /// Results that are enough: 100 if it is left out, at most 1000.
    limit: Option<usize>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
struct Answer {
    results: Vec<SearchResult>,
    total: usize,
    /// Who was asked.
    networks: Vec<Asked>,
}

#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(Question),
    responses((status = 200, body = Answer), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody)))]
async fn search(
    State(shared): Ctx,
    Params(question): Params<Question>,
) -> Result<axum::Json<Answer>, ApiError> {
    let limit = question.limit.unwrap_or(LIMIT_DEFAULT);
    let query = SearchQuery { words: question.q, limit };
    let (results, networks) = shared.run(move |node| node.search(&query, &mut |_| {})).await?;
    Ok(axum::Json(Answer { total: results.len(), results, networks }))
}
