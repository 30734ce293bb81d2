//! What the process tells of itself: logs, and the spans that a collector gets.
//!
//! The rules: ids in fields, units in names, an error once; never a body, a prompt, an answer, a mission's
//! text or a secret. Spans of requests, ticks, missions and calls are of level info, those of database steps
//! of level debug, so that they cost nothing where neither a collector nor `RUST_LOG` asks for them.

pub mod context;
mod export;
mod panics;

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::noop::NoopTracer;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::config::Config;
use crate::config::telemetry::{LogFormat, Settings};
pub use export::ExportError;

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For what serves.
    Stdout,
    /// Where stdout is for the answer.
    Stderr,
    /// The same beside a progress bar: only warnings, unless `RUST_LOG` asks for more.
    BesideBar,
}

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// Logs from now on; for commands that only ask the database. At most once in a process.
pub fn log(settings: &Settings, output: Output) {
    tracing_subscriber::registry().with(log_layer(settings.log_format, output)).init();
    panics::log_their_place();
}

/// Logs, and sends spans to the collector where there is one. Then some of the time to drain is kept for the
/// last of them, so that the process is gone in time. Within the runtime that is to send them; at most once
/// in a process.
pub fn log_and_trace(config: &mut Config, output: Output) -> Result<Exporting, ExportError> {
    let settings = &config.telemetry;
    let provider = settings.collector.as_ref().map(export::provider).transpose()?;
    let spans = provider.as_ref().map_or_else(passing_layer, exporting_layer);
    tracing_subscriber::registry().with(spans).with(log_layer(settings.log_format, output)).init();
    panics::log_their_place();
    let Some(provider) = provider else { return Ok(Exporting(None)) };
    let last = (config.drain_timeout / 4).min(LONGEST_LAST);
    config.drain_timeout -= last;
    Ok(Exporting(Some((provider, last))))
}

fn log_layer<S>(format: LogFormat, output: Output) -> BoxedLayer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let usual = if output == Output::BesideBar { Level::WARN } else { Level::INFO };
    let filter = EnvFilter::builder().with_default_directive(usual.into()).from_env_lossy();
    let (writer, is_terminal) = match output {
        Output::Stdout => (fmt::writer::BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal()),
        Output::Stderr | Output::BesideBar => {
            (fmt::writer::BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal())
        }
    };
    let lines = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Pretty => lines.with_ansi(is_terminal).with_filter(filter).boxed(),
        // Without the current span apart: it is the last of the list.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
        }
    }
}

/// Whatever `RUST_LOG` says: a trace with holes explains nothing.
fn exporting_layer(provider: &SdkTracerProvider) -> BoxedLayer<Registry> {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(env!("CARGO_PKG_NAME")));
    lean(layer).with_filter(ours(Level::DEBUG)).boxed()
}

/// Makes no trace of its own, but hands a caller's on to mana-llm.
fn passing_layer() -> BoxedLayer<Registry> {
    let layer: OpenTelemetryLayer<Registry, NoopTracer> = tracing_opentelemetry::layer();
    lean(layer).with_filter(ours(Level::INFO)).boxed()
}

/// Not the libraries', which know no rules: sqlx would tell its statements.
fn ours(level: Level) -> Targets {
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level)
}

/// Without what nobody asks for, and each entry of a span would pay.
fn lean<T>(layer: OpenTelemetryLayer<Registry, T>) -> OpenTelemetryLayer<Registry, T>
where
    T: opentelemetry::trace::Tracer + 'static,
    T::Span: Send + Sync,
{
    layer
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
}

/// Sends what is left when it is dropped, as long as it may.
#[derive(Debug)]
pub struct Exporting(Option<(SdkTracerProvider, Duration)>);

/// A collector that is well takes what is left in a fraction of this.
const LONGEST_LAST: Duration = Duration::from_secs(1);

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Some((provider, last)) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(*last)
        {
            tracing::debug!(%error, "the last spans are lost");
        }
    }
}

/// For fields, whose formats know no larger numbers.
pub fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
