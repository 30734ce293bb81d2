//! Medians of repeated runs.

use std::time::Instant;

/// The median time in milliseconds of `runs` runs, after one that does not count.
pub async fn median_ms<F: Future>(runs: usize, mut run: impl FnMut() -> F) -> f64 {
    run().await;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        times.push(once_ms(run()).await);
    }
    median(times)
}

/// The median.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The time of one run in milliseconds.
pub async fn once_ms(run: impl Future) -> f64 {
    let began = Instant::now();
    run.await;
    began.elapsed().as_secs_f64() * 1000.0
}
