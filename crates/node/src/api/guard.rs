//! What every request passes before anything looks at what it asks for: which host it means, which
//! site sent it, who it is. And the headers that every answer carries.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Shared;
use super::auth::Refused;
use super::error::ApiError;

/// The cookie of a session.
pub(super) const COOKIE_NAME: &str = "shoal-session";
/// A request has so long until its answer begins.
const ANSWER_MAX: Duration = Duration::from_secs(60);

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scripts, styles and requests from this site alone; no frames, no inline scripts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; media-src 'self'; connect-src 'self'; font-src 'self'; \
    manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Where a request comes from: the other end of its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) Option<IpAddr>);

impl Client {
    /// The address by which failures are counted; all users of a Unix socket are one.
    pub(super) fn host(self) -> IpAddr {
        self.0.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical()
    }
}

/// Lets a request through, or answers it.
pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let answer = match admit(&shared, &parts).await {
        Ok(()) => {
            match tokio::time::timeout(ANSWER_MAX, next.run(Request::from_parts(parts, body))).await
            {
                Ok(answer) => answer,
                Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "too slow").into_response(),
            }
        }
        Err(error) => {
            let mut answer = error.into_response();
            // Browsers would ask for a password by themselves: only the programs that need it may.
            if answer.status() == StatusCode::UNAUTHORIZED && is_rpc(&parts.uri) {
                let basic = HeaderValue::from_static("Basic realm=\"Shoal\"");
                answer.headers_mut().insert(WWW_AUTHENTICATE, basic);
            }
            answer
        }
    };
    with_headers(answer)
}

fn with_headers(mut answer: Response) -> Response {
    for (name, value) in HEADERS {
        answer
            .headers_mut()
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
    answer
}

fn is_rpc(uri: &Uri) -> bool {
    matches!(uri.path(), "/transmission/rpc" | "/transmission/rpc/")
}

async fn admit(shared: &Arc<Shared>, request: &Parts) -> Result<(), ApiError> {
    let headers = &request.headers;
    let host = host_of(request).ok_or_else(|| ApiError::bad("a request names its host"))?;
    if !shared.names.allow(&host) {
        let why = format!("this node is not called {host}");
        let error = ApiError::new(StatusCode::FORBIDDEN, why);
        return Err(error.hint("Ask for it by its address, or add the name to api.hosts"));
    }
    let path = request.uri.path();
    let changes = !matches!(request.method, Method::GET | Method::HEAD);
    let site = site_of(headers, &host);
    if site == Site::Other && (changes || !is_open_page(path)) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "another site sent this request"));
    }
    if is_open(path) || is_open_page(path) {
        return Ok(());
    }
    match identify(shared, request).await? {
        // A browser that says of a change neither where it comes from nor from which site: what
        // cookies prove is only that the browser was here once.
        Identity::Browser if changes && site == Site::Unknown => {
            Err(ApiError::new(StatusCode::FORBIDDEN, "a change by cookie must name its Origin"))
        }
        Identity::Browser | Identity::Program => Ok(()),
    }
}

/// Who sends a request.
enum Identity {
    /// A browser with a session.
    Browser,
    /// A program with the token, the password, or the key of a stream.
    Program,
}

async fn identify(shared: &Arc<Shared>, request: &Parts) -> Result<Identity, ApiError> {
    let headers = &request.headers;
    let auth = &shared.auth;
    if let Some(session) = cookie(headers)
        && auth.is_session(session)
    {
        return Ok(Identity::Browser);
    }
    if let Some((id, file, key)) = stream_key(&request.uri)
        && auth.is_stream_key(id, file, key)
    {
        return Ok(Identity::Program);
    }
    let unauthorized =
        || ApiError::new(StatusCode::UNAUTHORIZED, "log in first").hint("POST /api/v1/login");
    let client = client_of(&request.extensions).host();
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, value) = authorization.and_then(|text| text.split_once(' ')).unwrap_or_default();
    let refused = if scheme.eq_ignore_ascii_case("bearer") {
        auth.check_secret(client, value.trim(), false)
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(value.trim()).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let password = text.split_once(':').map_or("", |(_, password)| password).to_owned();
        if auth.is_token(&password) {
            return Ok(Identity::Program);
        }
        check_password(shared, client, password).await?
    } else {
        return Err(unauthorized());
    };
    match refused {
        Ok(()) => Ok(Identity::Program),
        Err(Refused::Wrong) => Err(unauthorized()),
        Err(Refused::Wait(wait)) => Err(too_many(wait)),
    }
}

/// Checks a password on a thread that may take its time.
pub(super) async fn check_password(
    shared: &Arc<Shared>,
    host: IpAddr,
    password: String,
) -> Result<Result<(), Refused>, ApiError> {
    let shared = shared.clone();
    let checked = tokio::task::spawn_blocking(move || shared.auth.check_password(host, &password));
    checked
        .await
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The answer to those who were wrong too often.
pub(super) fn too_many(wait: Duration) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong answers: wait").retry_after(wait)
}

/// Where the request's connection comes from.
pub(super) fn client_of(extensions: &Extensions) -> Client {
    extensions.get().copied().unwrap_or(Client(None))
}

/// The session that a request's cookie names.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE_NAME).map(|(_, value)| value.trim())
}

/// `/stream/ID/FILE?key=KEY`
fn stream_key(uri: &Uri) -> Option<(&str, usize, &str)> {
    let (id, file) = uri.path().strip_prefix("/stream/")?.split_once('/')?;
    let key = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("key="))?;
    Some((id, file.parse().ok()?, key))
}

/// What answers without a login: logging in, and whether the node is there.
fn is_open(path: &str) -> bool {
    matches!(path, "/api/v1/login" | "/health")
}

/// Whether this is a file of the page, which holds no secret. Links from other sites may lead here.
fn is_open_page(path: &str) -> bool {
    let closed = ["/api/", "/stream/", "/transmission/"];
    path != "/metrics" && !closed.iter().any(|prefix| path.starts_with(prefix))
}

/// The host that a request means, with its port, in lower case.
fn host_of(request: &Parts) -> Option<String> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?,
        (None, None) => request.uri.authority()?.as_str(),
        _ => return None,
    };
    Some(host.to_ascii_lowercase())
}

/// By which names a node may be asked for.
#[derive(Debug, Default)]
pub(super) struct Names(pub(super) Vec<String>);

impl Names {
    /// Addresses are always allowed: a page of another site that leads its own name to our address
    /// (DNS rebinding) is asked for by that name.
    fn allow(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((name, port)) if port.is_empty() || is_port(port) => name,
                _ => return false,
            },
            None => match host.split_once(':') {
                Some((name, _)) if !is_port(&host[name.len()..]) => return false,
                Some((name, _)) => name,
                None => host,
            },
        };
        let bracketed = host.starts_with('[');
        match name.parse::<IpAddr>() {
            Ok(address) => address.is_ipv6() == bracketed,
            Err(_) => !bracketed && (name == "localhost" || self.0.iter().any(|own| own == name)),
        }
    }
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Which site sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    /// Ours, or the user by typing its address.
    Own,
    /// Another one, or one that hides.
    Other,
    /// It does not say: no browser, or one that does not for this kind of request.
    Unknown,
}

fn site_of(headers: &HeaderMap, host: &str) -> Site {
    let fetch = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    if fetch.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Site::Other;
    }
    match headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        Some(origin) => {
            let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if from.is_some_and(|from| from.eq_ignore_ascii_case(host)) {
                Site::Own
            } else {
                Site::Other
            }
        }
        None if fetch.is_some() => Site::Own,
        None => Site::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_here_by_rebinding_are_not_ours() {
        let names = Names(vec!["nas.home".to_owned()]);
        for (host, allowed) in [
            ("127.0.0.1:7680", true),
            ("127.0.0.1", true),
            ("[::1]:7680", true),
            ("192.0.2.7:80", true),
            ("localhost:7680", true),
            ("nas.home", true),
            ("nas.home:7680", true),
            ("evil.example:7680", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1:x", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[127.0.0.1]:1", false),
            ("::1", false),
            ("", false),
        ] {
            assert_eq!(names.allow(host), allowed, "{host}");
        }
    }

    #[test]
    fn ap_02_ap_03_sites_are_told_apart() {
        let site = |origin: Option<&str>, fetch: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(ORIGIN, origin), (SEC_FETCH_SITE, fetch)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().expect("a header"));
                }
            }
            site_of(&headers, "127.0.0.1:7680")
        };
        for (origin, fetch, expected) in [
            (Some("http://127.0.0.1:7680"), Some("same-origin"), Site::Own),
            (Some("http://127.0.0.1:7680"), None, Site::Own),
            (None, Some("same-origin"), Site::Own),
            (None, Some("none"), Site::Own),
            (None, None, Site::Unknown),
            (Some("null"), None, Site::Other),
            (Some("null"), Some("same-origin"), Site::Other),
            (Some("http://127.0.0.1:7681"), None, Site::Other),
            (Some("http://evil.example"), None, Site::Other),
            (Some("127.0.0.1:7680"), None, Site::Other),
            (Some("http://127.0.0.1:7680"), Some("cross-site"), Site::Other),
            (None, Some("same-site"), Site::Other),
            (None, Some("cross-site"), Site::Other),
        ] {
            assert_eq!(site(origin, fetch), expected, "{origin:?} {fetch:?}");
        }
    }

    #[test]
    fn paths_are_open_only_if_they_hold_no_secret() {
        for (path, open) in [
            ("/", true),
            ("/app.js", true),
            ("/health", true),
            ("/api/v1/login", true),
            ("/api/v1/status", false),
            ("/api/v1/login/x", false),
            ("/metrics", false),
            ("/stream/a/0", false),
            ("/transmission/rpc", false),
        ] {
            assert_eq!(is_open(path) || is_open_page(path), open, "{path}");
        }
    }
}
