//! HTTP clients: the one place where TLS gets its provider.

/// Start here, not at `reqwest::Client::builder()`, which panics without a provider.
pub fn builder() -> reqwest::ClientBuilder {
    // Fails only if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A proxy of the environment is for the internet: it would see the service key, and it cannot reach
    // what is on this machine. Nothing is unpacked, even where another crate switches that feature on: a
    // limit on a body's bytes is then one on memory.
    reqwest::Client::builder().no_proxy().no_gzip().no_brotli().no_zstd().no_deflate()
}

/// Why a call failed. The outermost error only says that sending failed, and where to; the innermost says why.
pub fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
