//! The stand-in's script, and what only a test of faults asks of it.

use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::http_client;

use crate::support::soon;

/// Status and body, or why there is none.
async fn ask(llm: &StandIn) -> reqwest::Result<(u16, String)> {
    let url = format!("{}/v1/chat/completions", llm.url());
    let call =
        http_client::builder().build()?.post(url).header("content-type", "application/json").body("{}");
    let answer = soon(call.send()).await?;
    let status = answer.status().as_u16();
    Ok((status, soon(answer.text()).await?))
}

#[tokio::test]
async fn a_script_is_answered_in_order_and_then_ends() {
    let llm = StandIn::start(Behaviour::Say("sonst".into())).await.unwrap();
    llm.script([
        Behaviour::Raw(500, Vec::new(), "no".into()),
        Behaviour::Break,
        Behaviour::Say("dann".into()),
    ]);
    assert_eq!(ask(&llm).await.unwrap(), (500, "no".into()));
    let broken = ask(&llm).await.unwrap_err();
    assert!(broken.is_decode() || broken.is_body(), "its body breaks off: {broken:?}");
    assert!(ask(&llm).await.unwrap().1.contains("dann"));
    assert!(ask(&llm).await.unwrap().1.contains("sonst"));
    llm.script([Behaviour::Hold]);
    let (held, ()) = tokio::join!(ask(&llm), async {
        soon(llm.arrived(5)).await;
        llm.behave(Behaviour::Say("weiter".into()));
    });
    assert!(held.unwrap().1.contains("weiter"));
    assert_eq!(llm.requests().len(), 5);
}
