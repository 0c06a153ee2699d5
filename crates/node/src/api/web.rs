//! The page: files that are part of the program. A path is a key of a table; no path reaches the
//! file system.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use crate::mime;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/web");

struct Asset {
    bytes: &'static [u8],
    mime: &'static str,
    etag: String,
}

static TABLE: LazyLock<BTreeMap<String, Asset>> = LazyLock::new(|| {
    let mut table = BTreeMap::new();
    let mut folders = vec![&FILES];
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs());
        for file in folder.files() {
            let Some(path) = file.path().to_str() else { continue };
            let digest = Sha256::digest(file.contents());
            let digest = digest.iter().take(12).map(|byte| format!("{byte:02x}"));
            let etag = format!("\"{}\"", digest.collect::<String>());
            let asset = Asset { bytes: file.contents(), mime: mime::of_name(path), etag };
            table.insert(format!("/{path}"), asset);
        }
    }
    table
});

/// A file of the page, by its path.
pub(super) async fn page(request: Request) -> Response {
    let path = match request.uri().path() {
        "/" => "/index.html",
        path => path,
    };
    let Some(asset) = TABLE.get(path) else {
        return ApiError::new(StatusCode::NOT_FOUND, "there is no such page").into_response();
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response();
    }
    let etag = HeaderValue::from_str(&asset.etag).unwrap_or(HeaderValue::from_static("\"\""));
    let headers = [
        (ETAG, etag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_TYPE, HeaderValue::from_static(asset.mime)),
    ];
    let known = request.headers().get_all(IF_NONE_MATCH).iter();
    let is_known = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|one| one.trim().trim_start_matches("W/") == asset.etag);
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, asset.bytes).into_response()
}
