//! How every HTTP client of this process is built.

/// The builder of every client. `reqwest::Client::builder()` panics, because it knows no TLS provider.
pub fn builder() -> reqwest::ClientBuilder {
    // Fails only where a provider is installed already, and that one will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No proxy: one that the environment names is for the internet, would see the service key, and cannot reach what
    // is on this machine. No decompression, even where another crate switches that feature on: so a limit on a body's
    // bytes is a limit on memory.
    reqwest::Client::builder().no_proxy().no_gzip().no_brotli().no_zstd().no_deflate()
}

/// The innermost cause of a failed call, such as "connection refused". The outermost error only says that sending
/// failed, and where to.
pub fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
