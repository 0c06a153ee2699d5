//! MIME types by the ends of names: what the page and players need to be told.

/// The type of what is called `name`; unknown ones are plain bytes.
#[must_use]
pub fn of_name(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    match end.as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "txt" | "md" | "log" | "nfo" | "srt" => "text/plain; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        "pdf" => "application/pdf",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "avi" => "video/x-msvideo",
        "mov" => "video/quicktime",
        "mpg" | "mpeg" => "video/mpeg",
        "ogv" => "video/ogg",
        "mp3" => "audio/mpeg",
        "m4a" | "m4b" => "audio/mp4",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// Whether what is of type `mime` may be shown by a browser as part of our site: nothing that can
/// hold a script.
#[must_use]
pub fn is_harmless(mime: &str) -> bool {
    mime.starts_with("video/")
        || mime.starts_with("audio/")
        || (mime.starts_with("image/") && mime != "image/svg+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_hold_scripts_is_not_shown() {
        for (name, mime, harmless) in [
            ("a/film.MP4", "video/mp4", true),
            ("x.svg", "image/svg+xml", false),
            ("x.html", "text/html; charset=utf-8", false),
            ("none", "application/octet-stream", false),
            ("x.", "application/octet-stream", false),
            ("cover.jpg", "image/jpeg", true),
        ] {
            assert_eq!((of_name(name), is_harmless(of_name(name))), (mime, harmless), "{name}");
        }
    }
}
