//! The dashboard and the alerts against the registry.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::http::{ask, serve};
use super::parse;
use crate::support::{World, due_mission};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All queries of a dashboard, variables included, with what Grafana would put in.
fn queries(node: &Value, found: &mut Vec<String>) {
    match node {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(query) if name == "expr" || name == "definition" => {
                        found.push(query.clone())
                    }
                    value => queries(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

/// Names in a text that look like ours or the process's.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("mana_ai_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// They show and watch what there is. What a service says after a tick and some requests is left for
/// `promtool`, as are the dashboard's queries, in the form of rules.
#[tokio::test]
async fn dashboard_and_alerts_use_what_there_is() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let base = serve(&world.db.url, &world).await;
    assert_eq!(ask(Method::POST, &format!("{base}/internal/tick?wait=true")).await.0, StatusCode::OK);
    let (_, text) = ask(Method::GET, &format!("{base}/metrics")).await;
    let exist: BTreeSet<String> =
        parse(&text).keys().map(|series| series.split('{').next().unwrap().to_owned()).collect();

    let dashboard: Value = serde_json::from_str(&read("ops/grafana/mana-ai.json")).unwrap();
    let mut shown = Vec::new();
    queries(&dashboard, &mut shown);
    let watched = named(&read("ops/prometheus/alerts.yml"));
    let tested = named(&read("ops/prometheus/alerts_test.yml"));
    let used = &(&named(&shown.join("\n")) | &watched) | &tested;
    assert!(used.len() > 30, "{used:?}");
    assert_eq!(used.difference(&exist).collect::<Vec<_>>(), [""; 0], "not exported");
    assert_eq!(watched.difference(&tested).collect::<Vec<_>>(), [""; 0], "no alert is tested on it");

    let rules = shown.iter().filter(|query| !query.starts_with("label_values"));
    let rules = rules.enumerate().map(|(n, query)| {
        json!({ "record": format!("panel:{n}"), "expr": query.replace("$__rate_interval", "5m") })
    });
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules.collect::<Vec<_>>() }] });
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(target.join("metrics.txt"), text).unwrap();
    std::fs::write(target.join("dashboard.yml"), rules.to_string()).unwrap();
}
