//! Progress bars for a person who waits at a terminal.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mana_ai::runner::Runner;
use tokio_util::task::AbortOnDropHandle;

const REDRAW: Duration = Duration::from_millis(100);

/// A bar that stays on the terminal until this is dropped.
pub struct Shown {
    bar: ProgressBar,
    _drawing: Option<AbortOnDropHandle<()>>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar while the log is folded, then a line that counts what is planned and what waits for mana-llm.
pub fn show(runner: &Arc<Runner>) -> Shown {
    let (runner, bar) = (Arc::clone(runner), ProgressBar::new_spinner());
    runner.store().refresh_progress().watch();
    let drawn = bar.clone();
    let drawing = async move {
        loop {
            draw(&drawn, &runner);
            tokio::time::sleep(REDRAW).await;
        }
    };
    Shown { bar, _drawing: Some(AbortOnDropHandle::new(tokio::spawn(drawing))) }
}

/// A line with a spinner, for a wait of unknown length.
pub fn wait(what: &'static str) -> Shown {
    let bar = ProgressBar::new_spinner();
    bar.set_message(what);
    bar.enable_steady_tick(REDRAW);
    Shown { bar, _drawing: None }
}

fn draw(bar: &ProgressBar, runner: &Runner) {
    let metrics = runner.metrics();
    let template =
        |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    if let Some((rows, all)) = runner.store().refresh_progress().now() {
        bar.set_style(template("folding the log {wide_bar} {pos}/{len} rows, {eta} left"));
        // A longer log is not counted to its end.
        bar.set_length(all.max(rows));
        bar.set_position(rows);
    } else {
        let (done, at_work) = (metrics.plans_written_back_total.get(), metrics.in_flight_missions.get());
        bar.set_style(template("{spinner} {msg}, for {elapsed}"));
        bar.set_message(format!("{done} planned, {at_work} at work or waiting for mana-llm"));
    }
    bar.tick();
}
