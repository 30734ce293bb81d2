//! The variables of logs and traces: ours, and those of OpenTelemetry's specification,
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
//!
//! The OpenTelemetry SDK reads `OTEL_TRACES_SAMPLER` and its `_ARG` for itself, and the exporter reads
//! `OTEL_EXPORTER_OTLP_HEADERS`. Both fall back to a default without a word where a value cannot be used, so these
//! are checked here, and a bad one ends the process at the start (`wrong_variables_are_named_without_their_secrets`).

use std::collections::HashMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::reader::{DAY_MS, Reader};

/// How to log, and where spans go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `LOG_FORMAT`: how log lines look.
    pub log_format: LogFormat,
    /// The collector. `None` where `OTEL_EXPORTER_OTLP_ENDPOINT` is not set or `OTEL_SDK_DISABLED` is true.
    pub collector: Option<CollectorSettings>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Where spans are sent, and what they say of this process.
#[derive(Debug, Clone)]
pub struct CollectorSettings {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` with the path for spans. May hold a password.
    pub url: SecretString,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: the longest that sending one batch may take.
    pub timeout: Duration,
    /// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`. The SDK's own reader leaves percent-encoded values as
    /// they are and calls us `unknown_service:…` by default; `a_tick_is_a_trace` shows both.
    pub resource: HashMap<String, String>,
}

const PAIRS: &str = "name=value,name=value, with %2C for a comma in a value";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

impl Settings {
    pub(super) fn read<G: FnMut(&str) -> Option<String>>(read: &mut Reader<G>) -> Self {
        let log_format =
            read.parsed("LOG_FORMAT", LogFormat::Pretty, "json or pretty", |value| value.parse().ok());
        let disabled = read.parsed("OTEL_SDK_DISABLED", false, "true or false", |value| {
            value.to_ascii_lowercase().parse().ok()
        });
        let url = read.hidden("OTEL_EXPORTER_OTLP_ENDPOINT", "an http or https URL", url_for_spans);
        // The only protocol that is built in. gRPC also has another port, 4317.
        read.check("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", |value| value == "http/protobuf");
        read.hidden("OTEL_EXPORTER_OTLP_HEADERS", PAIRS, headers);
        read.check("OTEL_TRACES_SAMPLER", &SAMPLERS.join(", "), |value| SAMPLERS.contains(&value));
        read.check("OTEL_TRACES_SAMPLER_ARG", "the share of traces to keep, from 0 to 1", |value| {
            value.parse().is_ok_and(|share: f64| (0.0..=1.0).contains(&share))
        });
        let timeout = read.ms("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, 1..=DAY_MS);
        let resource = resource(read);
        let collector = url.filter(|_| !disabled).map(|url| CollectorSettings { url, timeout, resource });
        Self { log_format, collector }
    }
}

fn resource<G: FnMut(&str) -> Option<String>>(read: &mut Reader<G>) -> HashMap<String, String> {
    let mut resource = read.parsed("OTEL_RESOURCE_ATTRIBUTES", HashMap::new(), PAIRS, |value| {
        Some(pairs(value)?.into_iter().collect())
    });
    let named = resource.remove("service.name").unwrap_or_else(|| "mana-ai".into());
    resource.insert("service.name".into(), read.text("OTEL_SERVICE_NAME", &named));
    resource
}

/// The path of <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request> below the base URL.
fn url_for_spans(base: &str) -> Option<SecretString> {
    let url = reqwest::Url::parse(base).ok()?;
    let taken = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    taken.then(|| format!("{}/v1/traces", base.trim_end_matches('/')).into())
}

/// `Some` where each pair can be an HTTP header.
fn headers(value: &str) -> Option<()> {
    let is_header = |(name, value): &(String, String)| {
        name.parse::<HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok()
    };
    pairs(value)?.iter().all(is_header).then_some(())
}

/// Names and values, of which the latter are percent-encoded.
fn pairs(value: &str) -> Option<Vec<(String, String)>> {
    let pairs = value.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.into_owned()))
        })
        .collect()
}
