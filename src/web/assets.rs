//! The style, the script, the font and the icon: part of the binary, each named by its content, so
//! that browsers keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::xxh3_64;

const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// A file with the path that it has now.
pub struct Asset {
    pub path: String,
    content: Vec<u8>,
    media_type: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, media_type: &'static str, content: Vec<u8>) -> Self {
        let path = format!("/assets/{stem}-{:016x}.{extension}", xxh3_64(&content));
        Self { path, content, media_type }
    }
}

pub struct Assets {
    pub style: Asset,
    pub script: Asset,
    pub font: Asset,
    pub icon: Asset,
}

pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let font =
        Asset::new("inter", "woff2", "font/woff2", include_bytes!("../../assets/fonts/inter.woff2").to_vec());
    // The style names the font, so its own name changes with it.
    let style = include_str!("assets/page.css").replace("FONT", &font.path);
    Assets {
        style: Asset::new("page", "css", "text/css; charset=utf-8", style.into_bytes()),
        script: Asset::new(
            "page",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("assets/page.js").to_vec(),
        ),
        icon: Asset::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg").to_vec()),
        font,
    }
});

pub async fn asset(Path(name): Path<String>) -> Response {
    let Assets { style, script, font, icon } = &*ASSETS;
    let found =
        [style, script, font, icon].into_iter().find(|asset| asset.path.ends_with(&format!("/{name}")));
    let Some(asset) = found else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, FOR_GOOD),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.content.clone()).into_response()
}
