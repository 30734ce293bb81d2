//! mana-ai plans a user's due AI missions on the server while no browser tab is open.
//!
//! # The data flow, and the files in its order
//!
//! ```text
//! sync_changes rows → fold → missions → which are due? → prompt → mana-llm → plan → one new row
//! ```
//!
//! 1. [`domain`] says what the log means, without any I/O: rows ([`domain::change`]) are folded into
//!    records ([`domain::fold`]), those are missions ([`domain::mission`]) with iterations
//!    ([`domain::iteration`]) and a [`domain::cadence`]. Whatever others wrote as JSON is read by [`domain::json`].
//! 2. [`planner`] asks the model: the allow-list ([`planner::tools`]), the [`planner::prompt`], the client
//!    ([`planner::llm`]), what it answered ([`planner::answer`]), and what of that is a [`planner::plan`].
//! 3. [`store`] is the database: [`store::UserTx`] is the only door to a user's rows
//!    ([`store::changes`]); the schedule of all users is kept by [`store::refresh`] and handed out under
//!    leases by [`store::schedule`]; [`store::access`] sets it up.
//! 4. [`attempt`] does one claimed mission with these, [`tick`] all that are due, with [`stats`].
//! 5. [`http`], [`server`] and [`service`] make it a process, [`metrics`] counts what it does, [`config`] tells
//!    it how, [`inspect`] explains a mission, [`check`] the whole.
//!
//! A layer imports itself and the layers above it in this list; [`client`], [`config`] and [`telemetry`] serve them all. The
//! stages are types, `ClaimedMission → Messages → Plan →
//! Iteration → NewChange`, and only the last can be inserted.

pub mod app;
pub mod attempt;
pub mod config;
pub mod domain;
pub mod http;
pub mod http_client;
pub mod llm;
pub mod metrics;
pub mod ops;
pub mod planner;
pub mod runner;
pub mod store;
pub mod telemetry;

#[cfg(feature = "demo")]
pub mod demo;
