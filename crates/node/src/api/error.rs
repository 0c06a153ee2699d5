//! Errors as programs and people get them: a status, and JSON that says what happened and what to
//! do next.

use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::labs::LabError;
use crate::node::NodeError;

/// An error of the API.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    body: ErrorDetail,
    retry_after: Option<Duration>,
}

/// What every error answers with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorDetail,
}

/// What happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ErrorDetail {
    /// For programs.
    kind: &'static str,
    /// For people; it may hold text from strangers.
    message: String,
    /// What to do next.
    hint: Option<&'static str>,
    /// The transfer that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::BAD_REQUEST => "bad_request",
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::CONFLICT => "conflict",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported",
            StatusCode::TOO_MANY_REQUESTS => "too_many",
            StatusCode::SERVICE_UNAVAILABLE => "busy",
            _ => "failed",
        };
        let body = ErrorDetail { kind, message: message.into(), hint: None, id: None };
        Self { status, body, retry_after: None }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.body.hint = Some(hint);
        self
    }

    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: self.body })).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        let message = error.to_string();
        match error {
            NodeError::NotFound(_)
            | NodeError::NoNetwork(_)
            | NodeError::NoSearch(_)
            | NodeError::NoFolder(_)
            | NodeError::NoFile(_) => Self::new(StatusCode::NOT_FOUND, message),
            NodeError::Duplicate(id) => {
                let mut error = Self::new(StatusCode::CONFLICT, message);
                error.body.id = Some(id);
                error
            }
            NodeError::Conflict(_) | NodeError::CannotFetch(_) => {
                Self::new(StatusCode::CONFLICT, message)
            }
            NodeError::Invalid(_) | NodeError::Config(_) => Self::bad(message),
            NodeError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, message).hint(
                "Add the folder to transfers.roots or transfers.publish_roots in the settings",
            ),
            NodeError::Ended => Self::new(StatusCode::SERVICE_UNAVAILABLE, message),
            NodeError::Session(_)
            | NodeError::State(_)
            | NodeError::Library(_)
            | NodeError::File { .. } => {
                tracing::error!(error = %message, "a request failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}

impl From<LabError> for ApiError {
    fn from(error: LabError) -> Self {
        let status = match error {
            LabError::NotFound(_) => StatusCode::NOT_FOUND,
            LabError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            LabError::Thread(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
