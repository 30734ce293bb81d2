//! How a series is defined: its name, its help and its first values in one place.

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Result,
};

/// Makes the struct of all series. The name of a field, behind `mana_ai_`, is the name of its series, its doc
/// comment the help text, and the value a function that makes it of both.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ty = $make:expr;)+) => {
        /// Every series but those of the process.
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

/// With these upper bounds, in seconds.
pub(super) fn histogram(buckets: &[f64]) -> impl FnOnce(Opts) -> Result<Histogram> {
    move |opts| Histogram::with_opts(HistogramOpts::from(opts).buckets(buckets.to_vec()))
}

/// One per combination of labels, of which these are there from the start.
pub(super) fn histograms<const N: usize>(
    labels: [&str; N],
    known: impl IntoIterator<Item = [&'static str; N]>,
    buckets: &[f64],
) -> impl FnOnce(Opts) -> Result<HistogramVec> {
    move |opts| {
        let opts = HistogramOpts::from(opts).buckets(buckets.to_vec());
        Ok(begun(HistogramVec::new(opts, &labels)?, known))
    }
}

/// One per combination of labels, of which these are there from the start.
pub(super) fn counters<const N: usize>(
    labels: [&str; N],
    known: impl IntoIterator<Item = [&'static str; N]>,
) -> impl FnOnce(Opts) -> Result<IntCounterVec> {
    move |opts| Ok(begun(IntCounterVec::new(opts, &labels)?, known))
}

/// One per value of the label, of which these are there from the start.
pub(super) fn gauges(
    label: &str,
    known: impl IntoIterator<Item = [&'static str; 1]>,
) -> impl FnOnce(Opts) -> Result<IntGaugeVec> {
    move |opts| Ok(begun(IntGaugeVec::new(opts, &[label])?, known))
}

/// A series that appeared with its first event would hide that event from `increase`.
fn begun<B: MetricVecBuilder, const N: usize>(
    series: MetricVec<B>,
    known: impl IntoIterator<Item = [&'static str; N]>,
) -> MetricVec<B> {
    for labels in known {
        series.with_label_values(&labels);
    }
    series
}

/// The values of an enum as those of one label.
pub(super) fn each<T: strum::VariantArray + Copy + Into<&'static str>>()
-> impl Iterator<Item = [&'static str; 1]> {
    T::VARIANTS.iter().map(|variant| [(*variant).into()])
}

/// One more as long as it lives.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Counts from now on.
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
