//! The variables of logs and traces: ours, and those of OpenTelemetry's specification,
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::Reader;

/// How to log, and where spans go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// Where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and `OTEL_SDK_DISABLED` is not.
    pub collector: Option<CollectorSettings>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// An object per line.
    Json,
}

/// Who takes the spans, and which.
#[derive(Debug, Clone)]
pub struct CollectorSettings {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` with the path for spans. May hold a password.
    pub url: SecretString,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: keys, mostly.
    pub headers: Vec<(String, SecretString)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: for a batch.
    pub timeout: Duration,
    /// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`: who we are.
    pub resource: HashMap<String, String>,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: Sampler,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const PAIRS: &str = "name=value,name=value, with %2C for a comma in a value";

impl Settings {
    pub(crate) fn read<G: FnMut(&str) -> Option<String>>(read: &mut Reader<G>) -> Self {
        let log_format =
            read.parsed("LOG_FORMAT", LogFormat::Pretty, "json or pretty", |value| value.parse().ok());
        let disabled = read.parsed("OTEL_SDK_DISABLED", false, "true or false", |value| {
            value.to_ascii_lowercase().parse().ok()
        });
        let url = read.hidden("OTEL_EXPORTER_OTLP_ENDPOINT", "an http or https URL", url_for_spans);
        // No other is built in; what speaks it listens on another port.
        read.parsed("OTEL_EXPORTER_OTLP_PROTOCOL", (), "http/protobuf", |value| {
            (value == "http/protobuf").then_some(())
        });
        let headers = read.hidden("OTEL_EXPORTER_OTLP_HEADERS", PAIRS, headers).unwrap_or_default();
        let timeout = read.ms("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000, 1..=DAY_MS);
        let mut resource = read.parsed("OTEL_RESOURCE_ATTRIBUTES", HashMap::new(), PAIRS, |value| {
            Some(pairs(value)?.into_iter().collect())
        });
        let named = resource.remove("service.name").unwrap_or_else(|| "mana-ai".into());
        resource.insert("service.name".into(), read.text("OTEL_SERVICE_NAME", &named));
        let share = read.parsed(
            "OTEL_TRACES_SAMPLER_ARG",
            1.0,
            "the share of traces to keep, from 0 to 1",
            |value| value.parse().ok().filter(|share| (0.0..=1.0).contains(share)),
        );
        let sampler =
            read.parsed("OTEL_TRACES_SAMPLER", default_sampler(), SAMPLERS, |name| sampler(name, share));
        let collector = url.filter(|_| !disabled);
        let collector = collector.map(|url| CollectorSettings { url, headers, timeout, resource, sampler });
        Self { log_format, collector }
    }
}

/// The path of <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request> below the base.
fn url_for_spans(base: &str) -> Option<SecretString> {
    let url = reqwest::Url::parse(base).ok()?;
    let taken = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    taken.then(|| format!("{}/v1/traces", base.trim_end_matches('/')).into())
}

fn headers(value: &str) -> Option<Vec<(String, SecretString)>> {
    let fits = |(name, value): &(String, String)| {
        name.parse::<HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok()
    };
    let pairs = pairs(value)?;
    pairs.iter().all(fits).then(|| pairs.into_iter().map(|(name, value)| (name, value.into())).collect())
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

const SAMPLERS: &str = "always_on, always_off, traceidratio, or one of them after parentbased_";

fn default_sampler() -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::AlwaysOn))
}

fn sampler(name: &str, share: f64) -> Option<Sampler> {
    if let Some(root) = name.strip_prefix("parentbased_") {
        return Some(Sampler::ParentBased(Box::new(root_sampler(root, share)?)));
    }
    root_sampler(name, share)
}

fn root_sampler(name: &str, share: f64) -> Option<Sampler> {
    match name {
        "always_on" => Some(Sampler::AlwaysOn),
        "always_off" => Some(Sampler::AlwaysOff),
        "traceidratio" => Some(Sampler::TraceIdRatioBased(share)),
        _ => None,
    }
}
