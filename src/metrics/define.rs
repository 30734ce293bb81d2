//! The macro and the functions that define a series: its name, its help text and its first label values in one place.

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Result,
};

/// Defines the struct `Metrics`. Each field is a series: `mana_ai_` and the field's name are its name, the doc comment is
/// its help text, and the value is a function that creates it from both.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ty = $make:expr;)+) => {
        /// Every series of the service. Those of the operating system's process are in the registry alone.
        #[derive(Debug)]
        pub struct Metrics {
            registry: ::prometheus::Registry,
            models: Models,
            $($(#[doc = $help])+ pub $name: $kind,)+
        }

        impl Metrics {
            fn register() -> ::prometheus::Result<Self> {
                let registry = ::prometheus::Registry::new();
                $(
                    let (name, help) = (concat!("mana_ai_", stringify!($name)), concat!($($help),+).trim());
                    let $name: $kind = ($make)(::prometheus::Opts::new(name, help))?;
                    registry.register(Box::new($name.clone()))?;
                )+
                Ok(Self { registry, models: Models::default(), $($name),+ })
            }
        }
    };
}
pub(super) use metrics;

/// A histogram with these upper bounds, in seconds.
pub(super) fn histogram(buckets: &[f64]) -> impl FnOnce(Opts) -> Result<Histogram> {
    move |opts| Histogram::with_opts(HistogramOpts::from(opts).buckets(buckets.to_vec()))
}

/// A histogram per combination of labels. The combinations in `known` start at zero.
pub(super) fn histograms<const N: usize>(
    labels: [&str; N],
    known: impl IntoIterator<Item = [&'static str; N]>,
    buckets: &[f64],
) -> impl FnOnce(Opts) -> Result<HistogramVec> {
    move |opts| {
        let opts = HistogramOpts::from(opts).buckets(buckets.to_vec());
        Ok(start_at_zero(HistogramVec::new(opts, &labels)?, known))
    }
}

/// A counter per combination of labels. The combinations in `known` start at zero.
pub(super) fn counters<const N: usize>(
    labels: [&str; N],
    known: impl IntoIterator<Item = [&'static str; N]>,
) -> impl FnOnce(Opts) -> Result<IntCounterVec> {
    move |opts| Ok(start_at_zero(IntCounterVec::new(opts, &labels)?, known))
}

/// A gauge per value of the label. The values in `known` start at zero.
pub(super) fn gauges(
    label: &str,
    known: impl IntoIterator<Item = [&'static str; 1]>,
) -> impl FnOnce(Opts) -> Result<IntGaugeVec> {
    move |opts| Ok(start_at_zero(IntGaugeVec::new(opts, &[label])?, known))
}

/// Makes the known series start at zero. A series that appeared with its first event would hide that event from
/// `increase`, which needs a value before it.
fn start_at_zero<B: MetricVecBuilder, const N: usize>(
    series: MetricVec<B>,
    known: impl IntoIterator<Item = [&'static str; N]>,
) -> MetricVec<B> {
    for labels in known {
        series.with_label_values(&labels);
    }
    series
}

/// The names of all variants of an enum, as values of one label.
pub(super) fn each<T: strum::VariantArray + Copy + Into<&'static str>>()
-> impl Iterator<Item = [&'static str; 1]> {
    T::VARIANTS.iter().map(|variant| [(*variant).into()])
}

/// Keeps a gauge raised by one until it is dropped.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Raises the gauge.
    pub fn by(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
