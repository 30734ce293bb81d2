//! Can missions be planned now? And the set-up of the database, which comes before the first tick.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Runner;
use crate::llm::breaker::Why;
use crate::store::{StoreError, access};

/// The longest that `/ready` waits for the database.
const READINESS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the answer of the database counts, so that its load does not grow with the number of those who ask.
const ANSWER_COUNTS: Duration = Duration::from_secs(1);
/// How often the set-up of the database is tried until it succeeds.
const PREPARE_INTERVAL: Duration = Duration::from_secs(5);
/// The loop counts as stalled after this many intervals without a finished tick.
const STALLED_AFTER_INTERVALS: u32 = 3;

/// Why missions cannot be planned now.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The database is away, or not set up.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// mana-llm refuses every call, because of our key or our model.
    #[error("{0}")]
    Misconfigured(String),
    /// The tick loop makes no progress.
    #[error("no tick has finished for {} s, TICK_INTERVAL_MS is {} s{}", .silent.as_secs(), .interval.as_secs_f64(),
        if *.running { "; one is running" } else { "" })]
    Stalled {
        /// The time since a tick last ended.
        silent: Duration,
        /// From the start of one tick to the start of the next, as configured.
        interval: Duration,
        /// Does a tick run now?
        running: bool,
    },
}

/// Once per process: the service works with such a login, but whoever steals it gets more than the service needs.
fn warn_of_excess(survey: &access::Survey) {
    if !survey.excess.is_empty() {
        tracing::warn!(
            login = survey.login,
            excess = survey.excess.join("; "),
            "the login can do more than mana-ai needs"
        );
    }
}

/// What the database last said of its set-up, and when.
#[derive(Debug, Default)]
pub(super) struct LastAnswer(Option<(Instant, Result<(), Arc<StoreError>>)>);

impl Runner {
    /// Verifies the set-up of the database, at most once a second, and looks at mana-llm and at the tick loop.
    ///
    /// # Errors
    /// The first reason why missions cannot be planned now.
    pub async fn readiness(&self) -> Result<(), NotReady> {
        let no_answer = || Err(Arc::new(StoreError::NoAnswer(READINESS_TIMEOUT)));
        tokio::time::timeout(READINESS_TIMEOUT, self.verify_once()).await.unwrap_or_else(|_| no_answer())?;
        if let Some(Why::Misconfigured(why)) = self.worker.llm.why() {
            return Err(NotReady::Misconfigured(why));
        }
        self.loop_progress()
    }

    /// One request at a time asks; those that waited for it take its answer. A flood of requests must not take the
    /// connections that missions need.
    async fn verify_once(&self) -> Result<(), Arc<StoreError>> {
        let mut last = self.last_answer.lock().await;
        match &last.0 {
            Some((at, answer)) if at.elapsed() < ANSWER_COUNTS => answer.clone(),
            _ => {
                let answer = access::verify(&self.worker.store).await.map_err(Arc::new);
                last.0 = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }

    fn loop_progress(&self) -> Result<(), NotReady> {
        let silent = self.heartbeat.since_finished();
        match self.settings.interval {
            Some(interval) if silent > interval * STALLED_AFTER_INTERVALS => {
                Err(NotReady::Stalled { silent, interval, running: self.is_running() })
            }
            _ => Ok(()),
        }
    }

    /// Returns once the database is set up, or once the runner is stopped. Postgres, and mana-sync which creates the
    /// log, may start later than this process.
    pub async fn until_prepared(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.keep_preparing() => {}
        }
    }

    async fn keep_preparing(&self) {
        let mut logged = String::new();
        while let Err(error) = self.prepare().await {
            let reason = error.to_string();
            // Once per reason, not every five seconds.
            if reason != logged {
                tracing::warn!(%reason, "no ticks yet, still trying");
                logged = reason;
            }
            tokio::time::sleep(PREPARE_INTERVAL).await;
        }
    }

    /// Sets the database up, or verifies that it is set up, once per process.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        let store = &self.worker.store;
        let prepare = || async {
            if self.settings.migrate { access::migrate(store).await } else { access::verify(store).await }?;
            warn_of_excess(&access::survey(store).await?);
            Ok(())
        };
        self.prepared.get_or_try_init(prepare).await.copied()
    }
}
