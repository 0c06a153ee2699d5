//! Logging in and out.

use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Refused;
use super::error::{ApiError, ErrorBody};
use super::extract::Json;
use super::guard::{COOKIE_NAME, check_password, client_of, cookie, too_many};
use super::{Ctx, Shared};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(state, login)).routes(routes!(logout))
}

/// Whether this browser is logged in.
#[derive(Serialize, ToSchema)]
struct LoginState {
    /// Whether it is.
    authenticated: bool,
    /// How it can log in.
    methods: Vec<&'static str>,
}

/// One of three ways to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    /// The password.
    password: Option<String>,
    /// The token from the file api-token.
    token: Option<String>,
    /// The code from a link.
    code: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/login", tag = "login",
    responses((status = 200, body = LoginState)))]
async fn state(State(shared): Ctx, headers: HeaderMap) -> axum::Json<LoginState> {
    let authenticated = cookie(&headers).is_some_and(|session| shared.auth.is_session(session));
    let password = shared.auth.has_password().then_some("password");
    let methods = password.into_iter().chain(["token"]).collect();
    axum::Json(LoginState { authenticated, methods })
}

#[utoipa::path(post, path = "/api/v1/login", tag = "login", request_body = Login,
    responses((status = 204, description = "logged in"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 415, body = ErrorBody), (status = 429, body = ErrorBody)))]
async fn login(State(shared): Ctx, request: Request) -> Result<Response, ApiError> {
    let host = client_of(request.extensions()).host();
    let Json(login) =
        <Json<Login> as axum::extract::FromRequest<()>>::from_request(request, &()).await?;
    let checked = match (login.password, login.token, login.code) {
        (Some(password), None, None) => check_password(&shared, host, password).await?,
        (None, Some(token), None) => shared.auth.check_secret(host, &token, false),
        (None, None, Some(code)) => shared.auth.check_secret(host, &code, true),
        _ => return Err(ApiError::bad("give one of password, token and code")),
    };
    match checked {
        Ok(()) => {}
        Err(Refused::Wait(wait)) => return Err(too_many(wait)),
        Err(Refused::Wrong) => {
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, "that is not right"));
        }
    }
    let session = shared
        .auth
        .begin_session()
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let life = 30 * 24 * 3600;
    let cookie =
        format!("{COOKIE_NAME}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}");
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

#[utoipa::path(post, path = "/api/v1/logout", tag = "login",
    responses((status = 204, description = "logged out"), (status = 401, body = ErrorBody)))]
async fn logout(State(shared): Ctx, headers: HeaderMap) -> Response {
    if let Some(session) = cookie(&headers) {
        shared.auth.end_session(session);
    }
    let gone = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, gone)]).into_response()
}
