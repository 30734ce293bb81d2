//! mana-ai plans a user's due AI missions on the server while no browser tab is open.
//!
//! ```text
//! rows of sync_changes → fold → missions → which are due? → prompt → mana-llm → plan → one new row
//! ```
//!
//! # The rooms, in the order of the data
//!
//! | Room | What happens in it |
//! |---|---|
//! | [`domain`] | What the log means, without any I/O: rows (`change`) are folded (`fold`) into records, and those are missions (`mission`) with iterations (`iteration`) and a next slot (`cadence`). `json` reads what others wrote. |
//! | [`inputs`] | Records that a mission links (`links`) become lines of its prompt (`linked`), by one table of modules (`modules`). No I/O either. |
//! | [`planner`] | A mission becomes messages (`prompt`); a model's text becomes a plan (`plan`) of tools that are allowed (`tools.json`). No I/O either. |
//! | [`store`] | The database. `tx` has `UserTx`, the only door to a user's rows; `log/` has the statements on `sync_changes`; `schedule/` has those on the schedule: `refresh` from the log, `claim`, and `transition` for how an attempt's end changes a row; `runs` is the ledger of attempts; `access` sets roles, view and policies up. |
//! | [`llm`] | mana-llm: the HTTP `client`, its `response` and its errors (`refusal`, `error`), the circuit `breaker`, and the `service` that puts the breaker in front of the client. |
//! | [`attempt`] | One claimed mission: recheck it, ask the model, write the plan back (`commit`). `error` gives each failure a disposition, `retry` decides what follows from it, and `failure` carries that out. |
//! | [`runner`] | When attempts are made: a tick (`tick`, `claims`), the loop (`schedule_loop`), a run on demand (`on_demand`); the heartbeat, and readiness. |
//! | [`ops`] | What operators ask: `check` the set-up, `explain` why a mission is due or not. |
//! | [`http`] | The routes, and the server that bounds its connections. |
//! | [`app`] | One process, from start to stop. The command line is in `main.rs` and `cli/`. |
//!
//! A room imports only rooms above it; `tests/it/house.rs` checks that. Four serve all others: [`config`] reads the
//! environment, [`telemetry`] logs and traces, [`metrics`] counts, [`http_client`] builds HTTP clients.
#![cfg_attr(feature = "demo", doc = "[`demo`] shows the whole pipeline on one machine.")]
//!
//! The stages are types, `ClaimedMission → Messages → Plan → Iteration → NewChange`, and only the last can be inserted.
//! The core takes the time and new ids as arguments; only the outer rooms read a clock.
//!
//! # Where to find
//!
//! - **The id of an iteration** is derived from mission and slot in [`domain::iteration::iteration_id`], which
//!   `attempt/ending.rs` calls for the row, and `attempt/commit.rs` to see whether the row is there. One slot thus has one iteration, however often it is tried.
//! - **A 429 of mana-llm** becomes `LlmError::RateLimited` in `llm/refusal.rs`, with its `Retry-After` clamped to 5 s – 1 h,
//!   and gets its disposition in `llm/error.rs`. The circuit breaker (`llm/breaker.rs`) then denies all calls of this
//!   process for that long. The mission waits that long and a growing backoff more (`attempt/retry.rs`); the attempt is
//!   not charged.
//! - **A mission is set aside** where it is unreadable (`store/schedule/refresh.rs`) or quarantined
//!   (`attempt/failure.rs`; after lost attempts, `attempt/mod.rs`). **A quarantined one is released** by a device's new
//!   row or an operator (`store/schedule/release.rs`); **an unreadable one** only by a device's new row. *Parked* alone
//!   (`attempt/recheck.rs`) also waits for a new row, but is not listed and may be run on demand.
//! - **A new tool** is added to `planner/tools.json`; `planner/tools.rs` reads it, and prompt and validation follow from it.
//! - **A new variable** goes into `config/` and `.env.example`, **a new metric** into the list in `metrics/mod.rs`.

pub mod app;
pub mod attempt;
pub mod config;
pub mod domain;
pub mod http;
pub mod http_client;
pub mod inputs;
pub mod llm;
pub mod metrics;
pub mod ops;
pub mod planner;
pub mod runner;
pub mod store;
pub mod telemetry;

#[cfg(feature = "demo")]
pub mod demo;
