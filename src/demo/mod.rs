//! The whole pipeline on one machine, with real data: embedded Postgres, stand-in LLM, simulated device.

pub mod answer;
pub mod database;
pub mod device;
pub mod edit;
pub mod llm;
pub mod llm_errors;
mod missions;
mod page;
pub mod postgres;
mod print;
pub mod sync;
pub mod types;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, PgPool, Row as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::database::{SYNC_CHANGES, Server};
use self::device::Device;
use self::llm::{Behaviour, StandIn};
use self::page::Page;
use crate::app;
use crate::config::{self, Config};
use crate::domain::mission;
use crate::domain::staging::Proposal;
use crate::store::Store;

/// Unless `MANA_SERVICE_KEY` is set, which a real server of `--llm-url` may ask for.
const SERVICE_KEY: &str = "demo-service-key";
const USER: &str = "demo-user";
const PORT: u16 = 3066;

/// Flags of `mana-ai demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave service and database up at the end, and print the curl lines to try
    #[arg(long)]
    keep: bool,
    /// Meanwhile, serve the inbox page in this folder and a stand-in for mana-sync, so that a browser is a device
    #[arg(long, value_name = "FOLDER", requires = "keep")]
    web: Option<PathBuf>,
    /// Plan with this OpenAI-compatible server instead of the stand-in; it gets `MANA_SERVICE_KEY` as its key
    #[arg(long, value_name = "URL")]
    llm_url: Option<String>,
    /// The model to ask there
    #[arg(long, requires = "llm_url", default_value = "mana/reasoning")]
    model: String,
}

/// Any error of the demo.
pub type DemoError = Box<dyn std::error::Error + Send + Sync>;

/// What runs for the demo.
struct Stage {
    db: PgPool,
    device: Device,
    stand_in: Arc<StandIn>,
    address: String,
    stop: CancellationToken,
    service: tokio::task::JoinHandle<Result<app::Stopped, app::StartError>>,
}

/// Runs it, and cleans up after it whether it went well or not.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    print::title("mana-ai: from a mission on a device to a task that its user approved");
    print::step(1, "A Postgres with mana-sync's table");
    let server = Server::find(&std::env::current_exe()?).await?;
    let name = format!("mana_ai_demo_{}", std::process::id());
    let url = server.create_database(&name, None).await?;
    let source = if server.is_embedded() { "an embedded server" } else { "the server of DATABASE_URL" };
    print::fact(&format!("{source}, database {name}, row-level security forced"));

    let told = tokio::select! {
        told = tell(&url, &args) => told,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    let told = match told {
        Ok(stage) if args.keep => stage.keep(&url, &args).await,
        Ok(stage) => stage.end().await,
        Err(error) => Err(error),
    };
    server.drop_database(&name).await?;
    told
}

impl Stage {
    async fn keep(self, url: &str, args: &DemoArgs) -> Result<(), DemoError> {
        print::keep(&self.address, url);
        let page = match &args.web {
            Some(folder) => Some(self.serve_page(folder, url, args).await?),
            None => None,
        };
        if let Some(page) = &page {
            print::page(page.url());
        }
        tokio::signal::ctrl_c().await?;
        self.end().await
    }

    async fn serve_page(&self, folder: &Path, url: &str, args: &DemoArgs) -> Result<Page, DemoError> {
        let stand_in = args.llm_url.is_none().then(|| Arc::clone(&self.stand_in));
        Page::serve(folder, url, &self.address, stand_in).await
    }

    async fn end(self) -> Result<(), DemoError> {
        self.stop.cancel();
        self.db.close().await;
        self.service.await??;
        Ok(())
    }
}

async fn tell(url: &str, args: &DemoArgs) -> Result<Stage, DemoError> {
    let stage = set_up(url, args).await?;
    let mut device = stage.device.second();
    print::step(
        4,
        "A tick, triggered over HTTP with the service key; two missions are due, one is later, one paused",
    );
    let stats = tick(&stage.address).await?;
    print::json("POST /internal/tick →", &stats);
    show_call(&stage.stand_in, args);
    show_row(&stage.db).await?;
    match show_staging(&mut device).await? {
        Some(proposal) => show_approval(&stage.db, &device, &proposal).await?,
        None => print::fact("the model proposed no task, so there is nothing to approve"),
    }
    print::step(9, "A second tick finds nothing due");
    let again = tick(&stage.address).await?;
    print::json("POST /internal/tick →", &again);
    if stats["plansWrittenBack"] != 2 || again["dueMissionCount"] != 0 {
        return Err("that is not what should have happened: two plans, then nothing due".into());
    }
    show_stale_tab(&stage).await?;
    print::done("Done: planned without a browser, approved by its user, attributed to the AI.");
    Ok(stage)
}

async fn set_up(url: &str, args: &DemoArgs) -> Result<Stage, DemoError> {
    let db = PgPoolOptions::new().max_connections(4).connect(url).await?;
    db.execute(SYNC_CHANGES).await?;
    let device = Device::new(db.clone(), Store::new(url, 2)?, USER, "demo-tab");
    print::step(2, "A device writes a note, a goal, and four missions that link them");
    for (place, id, data) in missions::linked(now()) {
        device.create(place, id, data).await?;
    }
    for (id, what, data) in missions::all(now()) {
        print::fact(&format!("{id:14} „{}“, {what}", data["title"].as_str().unwrap_or_default()));
        device.create_mission(id, data).await?;
    }
    print::step(3, "The service starts");
    let stand_in = Arc::new(StandIn::start(Behaviour::Plan).await?);
    let (address, stop, service) =
        start_service(url, args.llm_url.as_deref().unwrap_or(stand_in.url()), &args.model).await?;
    Ok(Stage { db, device, stand_in, address, stop, service })
}

type Started = (String, CancellationToken, tokio::task::JoinHandle<Result<app::Stopped, app::StartError>>);

async fn start_service(url: &str, llm_url: &str, model: &str) -> Result<Started, DemoError> {
    let config = Config::from_vars(|name| match name {
        "DATABASE_URL" => Some(url.into()),
        "MANA_SERVICE_KEY" => Some(service_key()),
        "MANA_LLM_URL" => Some(llm_url.into()),
        "MANA_LLM_MODEL" => Some(model.into()),
        // The demo ticks when it says so.
        "TICK_ENABLED" => Some("false".into()),
        _ => None,
    })?;
    let (listener, note) = match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await {
        Ok(listener) => (listener, String::new()),
        Err(_) => (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, format!(" (port {PORT} is taken)")),
    };
    let address = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let service = tokio::spawn(app::serve(config, listener, stop.clone()));
    print::fact(&format!("mana-ai on {address}{note}, mana-llm on {llm_url}"));
    Ok((address, stop, service))
}

async fn tick(address: &str) -> Result<Value, DemoError> {
    let client = crate::http_client::builder().timeout(Duration::from_secs(150)).build()?;
    let request =
        client.post(format!("{address}/internal/tick?wait=true")).header("X-Service-Key", service_key());
    Ok(serde_json::from_str(&request.send().await?.error_for_status()?.text().await?)?)
}

fn show_call(stand_in: &StandIn, args: &DemoArgs) {
    print::step(5, "What mana-llm was asked for one of them, and what it answered");
    let Some(call) = stand_in.requests().into_iter().next() else {
        return print::fact(&format!(
            "{} was asked, not the stand-in",
            args.llm_url.as_deref().unwrap_or("nobody")
        ));
    };
    let content = |message| call.body.pointer(message).and_then(Value::as_str).unwrap_or_default();
    print::fact("the rules and tools:");
    print::quote(content("/messages/0/content"), 8);
    print::fact("the mission:");
    print::quote(content("/messages/1/content"), 60);
    print::fact("its answer:");
    print::quote(&answer::plan_for(&call.body), 12);
}

async fn show_row(db: &PgPool) -> Result<(), DemoError> {
    print::step(6, "The one row that each plan became");
    let rows = db
        .fetch_all(
            "SELECT record_id, client_id, actor::text, field_timestamps::text,
                    data ->> 'nextRunAt' AS next, jsonb_array_length(data -> 'iterations') AS iterations
             FROM sync_changes WHERE client_id = 'mana-ai-runner' ORDER BY record_id",
        )
        .await?;
    for row in rows {
        let (id, client): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (actor, times): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let (next, iterations): (String, i32) = (row.try_get(4)?, row.try_get(5)?);
        print::fact(&format!("{id}: {iterations} iteration(s), next run {next}, by {client} {actor}"));
        print::detail(&format!("field_timestamps {times}"));
    }
    Ok(())
}

async fn show_staging(device: &mut Device) -> Result<Option<Proposal>, DemoError> {
    print::step(7, "Another device pulls, and turns the steps into proposals");
    let mut all = Vec::new();
    for id in [missions::DUE, missions::REVIEWED] {
        all.extend(device.stage(id, now()).await?);
    }
    for proposal in &all {
        print::fact(&format!("{} ({})", proposal.summary, proposal.tool_name));
    }
    let second = device.second().stage(missions::DUE, now()).await?;
    print::detail(&format!("a third device of the same user stages {} of them again", second.len()));
    Ok(all.into_iter().find(|proposal| proposal.tool_name == "create_task"))
}

async fn show_approval(db: &PgPool, device: &Device, proposal: &Proposal) -> Result<(), DemoError> {
    print::step(8, "Its user approves one: the task lands, attributed to the AI");
    let id = device.approve(proposal, now()).await?;
    let row = sqlx::query("SELECT data, actor FROM sync_changes WHERE record_id = $1")
        .bind(id)
        .fetch_one(db)
        .await?;
    print::json("todo / tasks", &row.try_get::<Value, _>(0)?);
    print::json("actor", &row.try_get::<Value, _>(1)?);
    Ok(())
}

async fn show_stale_tab(stage: &Stage) -> Result<(), DemoError> {
    print::step(
        10,
        "The tab that wrote the missions has not pulled since; it edits a title, and sends its old list too",
    );
    let tab = stage.device.clone().stale();
    tab.edit_mission(missions::DUE, json!({ "title": "Wohnung und Balkon" }), now()).await?;
    let hidden = iteration_count(&stage.device).await?;
    print::fact(&format!("the plan is gone from the record, on every device: {hidden} iterations"));
    tick(&stage.address).await?;
    let restored = iteration_count(&stage.device).await?;
    print::fact(&format!("the next tick restores it from the log: {restored} iteration"));
    let row = "SELECT field_timestamps::text FROM sync_changes
        WHERE client_id = 'mana-ai-runner' AND NOT data ? 'nextRunAt'";
    let times: String = stage.db.fetch_one(row).await?.try_get(0)?;
    print::detail(&format!(
        "with a row that holds the iterations alone, so that the new title stays: {times}"
    ));
    if (hidden, restored) != (0, 1) {
        return Err("that is not what should have happened: a plan hidden, then restored".into());
    }
    Ok(())
}

/// Of the mission that the tab edits.
async fn iteration_count(device: &Device) -> Result<usize, DemoError> {
    let record = device.pull(missions::DUE).await?.ok_or("the mission is gone")?;
    Ok(mission::iterations(&record)?.len())
}

fn service_key() -> String {
    config::var("MANA_SERVICE_KEY").unwrap_or_else(|| SERVICE_KEY.to_owned())
}

/// The clock of the simulated device.
#[expect(clippy::disallowed_methods, reason = "a device has a clock of its own")]
fn now() -> Timestamp {
    Timestamp::now()
}
