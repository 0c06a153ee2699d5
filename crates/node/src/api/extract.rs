//! Bodies and queries of requests, read strictly: the right type, a bounded length, no field that
//! is not known, none twice.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Shared;
use super::error::ApiError;

/// Bytes of JSON that are read.
const JSON_LEN_MAX: usize = 256 * 1024;

/// The media type of a request's body, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    to_bytes(request.into_body(), limit).await.map_err(|_| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {limit} bytes, in one piece"))
    })
}

/// Parses JSON.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::bad(error.to_string()))
}

/// A body of JSON.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        if media_type(request.headers()).as_deref() != Some("application/json") {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(ApiError::new(status, "the body must be application/json"));
        }
        Ok(Self(parse(&body(request, JSON_LEN_MAX).await?)?))
    }
}

/// The transfer that a path names, also by the id that it had while it was being hashed.
pub(super) struct TransferId(pub(super) String);

impl FromRequestParts<Arc<Shared>> for TransferId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, shared).await;
        let Path(id) = id.map_err(|error| ApiError::bad(error.body_text()))?;
        Ok(Self(shared.node.real_id(&id)))
    }
}

/// A query.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let query = query.map_err(|error| ApiError::bad(error.body_text()))?;
        Ok(Self(query.0))
    }
}

/// A map that refuses a key that comes twice.
#[derive(Debug)]
pub(super) struct Unique<V>(pub(super) BTreeMap<String, V>);

impl<V> Default for Unique<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Keys<V> {
            type Value = Unique<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<V>, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if let Some(_before) = all.insert(key, value) {
                        return Err(A::Error::custom("a key comes twice"));
                    }
                }
                Ok(Unique(all))
            }
        }
        deserializer.deserialize_map(Keys(PhantomData))
    }
}

/// Tells a field that is `null` from one that is missing.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default, deserialize_with = "given")]
        ratio: Option<Option<f64>>,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        params: Unique<String>,
    }

    #[test]
    fn ap_08_hostile_json_is_refused_and_nothing_overflows() {
        let nested = "[".repeat(10_000);
        let deep = format!("{}1{}", "{\"params\":".repeat(10_000), "}".repeat(10_000));
        for text in [
            nested.as_str(),
            deep.as_str(),
            r#"{"ratio": 1e400}"#,
            r#"{"name": "a", "name": "b"}"#,
            r#"{"params": {"a": "1", "a": "2"}}"#,
            r#"{"name": "\ud800"}"#,
            r#"{"other": 1}"#,
            r#"{"name": 1}"#,
            "",
            "nul",
            "{} {}",
        ] {
            let start: String = text.chars().take(40).collect();
            assert!(parse::<Body>(text.as_bytes()).is_err(), "{start}");
        }
        assert!(parse::<Body>(b"{\"name\": \"\xff\"}").is_err());
    }

    #[test]
    fn null_is_not_missing() {
        assert_eq!(parse::<Body>(b"{}").expect("good").ratio, None);
        assert_eq!(parse::<Body>(b"{\"ratio\": null}").expect("good").ratio, Some(None));
        assert_eq!(parse::<Body>(b"{\"ratio\": 2}").expect("good").ratio, Some(Some(2.0)));
        let body = parse::<Body>(br#"{"name": "x", "params": {"a": "1"}}"#).expect("good");
        assert_eq!((body.name.as_deref(), body.params.0.len()), (Some("x"), 1));
    }
}
