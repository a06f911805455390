//! Limits, errors, crashes, two at once: no deal is lost, none written twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use throughline_core::{Error, NoteStore, Result, TxnId};

use crate::company_crm::{ALL, Crm, Row, World, rows, stage};

fn deals(world: &World, count: usize) -> Vec<Row<'static>> {
    world
        .deals(count)
        .iter()
        .map(|pos| (world.id(*pos), Some("VK"), Some(format!("/{pos}")), Some("1")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_failures_of_the_moment_are_waited_for() {
    for crm in ALL {
        let world = World::new(crm).await;
        let (reads, writes) = (crm.reads_at(), crm.writes_at());
        let busy = if crm == Crm::Bitrix24 { 503 } else { 429 };
        world.faults(&[
            format!("{busy}:at=1,path={writes}"),
            format!("500:at=3,path={writes}"),
            format!("cut:at=1,path={reads}"),
            format!("500:at=3,path={reads}"),
        ]);
        let receipt = world.publish("t1", rows(&deals(&world, crm.batch() + 1))).await.unwrap();
        assert!(receipt.location.contains(&format!("{} deals written", crm.batch() + 1)), "{receipt:?}");
        assert!(world.fired() >= 4, "{crm:?} {:?}", world.server().faults.by_kind());
        assert_eq!(world.writes().len(), crm.batch() + 1);
        assert!(world.writes().values().all(|n| *n == 1));
        world.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_asked_for_again() {
    for crm in ALL {
        let world = World::new(crm).await;
        // Written, and the answer cut: absolute values may be sent twice, and stand once.
        world.faults(&[format!("cut:at=1,path={}", crm.writes_at())]);
        world.publish("t1", rows(&deals(&world, 3))).await.unwrap();
        assert_eq!(world.fired(), 1);
        assert_eq!(world.refused("t1").await, []);
        assert_eq!(world.writes().len(), 3);
        world.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_single_deals_leave_the_others_written() {
    for crm in ALL {
        let world = World::new(crm).await;
        let given = deals(&world, 10);
        // amoCRM refuses the two for good, the others say that it is for the moment.
        world.faults(&[format!("partial:at=1,rows=2,path={}", crm.writes_at())]);
        let receipt = world.publish("t1", rows(&given)).await.unwrap();
        assert_eq!(world.fired(), 1);
        let refused = world.refused("t1").await;
        if crm == Crm::Amocrm {
            assert_eq!(refused.len(), 2);
            assert!(
                refused[0].1.contains("Locked") && refused[0].1.contains("сейчас редактируют"),
                "{refused:?}"
            );
            assert!(receipt.location.contains("8 deals written, 2 refused"), "{receipt:?}");
        } else {
            assert_eq!(refused, []);
        }
        assert_eq!(world.writes().len(), 10 - refused.len());
        // For good: in the end it is told.
        world.faults(&[format!("partial:from=1,rows=1,path={}", crm.writes_at())]);
        let changed: Vec<_> = given.iter().map(|r| (r.0.clone(), Some("other"), None, None)).collect();
        world.publish("t2", rows(&changed)).await.unwrap();
        let refused = world.refused("t2").await;
        assert!(!refused.is_empty() && refused.len() <= 10, "{crm:?} {refused:?}");
        world.faults(&[]);
        world.publish("t3", rows(&changed)).await.unwrap();
        assert_eq!(world.refused("t3").await, []);
        assert!(world.deals(10).iter().all(|pos| world.held(*pos)[0].as_deref() == Some("other")));
        world.running.stop().await.unwrap();
    }
}

/// Notes of a process that dies at its n-th write, before or after it.
struct Dying {
    notes: Arc<dyn NoteStore>,
    left: AtomicU32,
    after: bool,
}

impl Dying {
    /// True when the write is still made.
    fn pass(&self) -> Result<bool> {
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(1) if self.after => Ok(false),
            Ok(n) if n > 1 => Ok(true),
            _ => Err(Error::bug("the process died here")),
        }
    }
    async fn put_all(&self, notes: Vec<(String, Option<Value>)>) -> Result<()> {
        let lives = self.pass()?;
        self.notes.put_many(notes).await?;
        if lives { Ok(()) } else { Err(Error::bug("the process died here")) }
    }
}

#[async_trait]
impl NoteStore for Dying {
    async fn get(&self, key: &str) -> Result<Option<Value>> {
        self.notes.get(key).await
    }
    async fn put(&self, key: &str, value: Option<Value>) -> Result<()> {
        self.put_all(vec![(key.to_owned(), value)]).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Value)>> {
        self.notes.list(prefix).await
    }
    async fn put_many(&self, notes: Vec<(String, Option<Value>)>) -> Result<()> {
        self.put_all(notes).await
    }
    async fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Value)>> {
        self.notes.page(prefix, after, limit).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_write_of_the_state_writes_no_deal_twice() {
    for crm in ALL {
        let world = World::new(crm).await;
        let places = world.deals(crm.batch() + 1);
        let txn = TxnId("t1".into());
        let sink = world.sink(json!({}));
        let staged =
            stage(&sink, &world.context(), "t1", rows(&deals(&world, crm.batch() + 1))).await.unwrap();
        let mut died = 0;
        for n in 1.. {
            let store = world.store();
            let notes = Arc::new(Dying {
                notes: store.notes("shop", "back"),
                left: AtomicU32::new(1 + n % 2),
                after: n % 3 == 0,
            });
            let ctx = world.context_with(&store, notes);
            match sink.commit(&ctx, &txn, std::slice::from_ref(&staged)).await {
                Ok(_) => break,
                Err(error) => assert!(error.to_string().contains("died here"), "{error}"),
            }
            died += 1;
            if died > 12 {
                sink.commit(&world.context(), &txn, std::slice::from_ref(&staged)).await.unwrap();
                break;
            }
        }
        assert!(died >= 3, "{crm:?}: {died}");
        let writes = world.writes();
        assert_eq!(writes.len(), places.len());
        assert!(writes.values().all(|n| *n == 1), "{crm:?}: {writes:?}");
        // Undo knows what stood before all of it.
        let undone = sink.write_back().unwrap().undo(&world.context(), &txn, true).await.unwrap();
        assert_eq!((undone.records as usize, undone.left_in_all), (places.len(), 0), "{crm:?} {undone:?}");
        assert!(places.iter().all(|pos| world.held(*pos) == [None, None, None]));
        world.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_write_once() {
    for crm in ALL {
        let world = World::new(crm).await;
        let sink = world.sink(json!({}));
        let given = deals(&world, crm.batch() + 1);
        let staged = [stage(&sink, &world.context(), "t1", rows(&given)).await.unwrap()];
        let txn = TxnId("t1".into());
        let (one, two) = (world.sink(json!({})), world.sink(json!({})));
        let (a, b) = (world.context(), world.context());
        let (a, b) =
            futures::future::join(one.commit(&a, &txn, &staged), two.commit(&b, &txn, &staged)).await;
        assert_eq!(a.unwrap(), b.unwrap());
        assert!(world.writes().values().all(|n| *n == 1) && world.writes().len() == given.len());
        world.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_and_a_sink_of_one_account_buy_one_token() {
    let world = World::bare(Crm::Amocrm).await;
    let secret = |value: &str| json!({ throughline_core::secret::SECRET_KEY: value });
    let refresh = world.server().auth.current().1;
    let account = json!({
        "subdomain": "studio", "base_url": world.running.url(), "client_id": company::amocrm::auth::CLIENT_ID,
        "client_secret": secret(company::amocrm::auth::CLIENT_SECRET),
        "redirect_uri": company::amocrm::auth::REDIRECT_URI, "refresh_token": secret(&refresh),
    });
    let source = throughline_connectors::all().into_iter().find(|c| c.name() == "amocrm").unwrap();
    let options =
        throughline_core::Options { name: "crm".into(), value: account.clone(), base_dir: ".".into() };
    let source = source.build(&options).map_err(|e| format!("{e:?}")).unwrap();
    let mut with_fields = account;
    with_fields["fields"] = json!({ "channel": "812001" });
    let options = throughline_core::Options { value: with_fields, ..options };
    let sink =
        crate::company_crm::connector(Crm::Amocrm).build(&options).map_err(|e| format!("{e:?}")).unwrap();
    let ctx = world.context();
    let (one, two) = futures::future::join(sink.check(&ctx), source.check(&ctx)).await;
    one.unwrap();
    two.unwrap();
    // The token is refused: whoever meets it first buys the next, the other takes that.
    world.server().auth.expire();
    let (one, two) = futures::future::join(sink.check(&ctx), source.check(&ctx)).await;
    one.unwrap();
    two.unwrap();
    let stats = serde_json::to_value(world.server().stats.snapshot()).unwrap();
    assert_eq!(stats["refreshes"], 2, "{stats:#}");
    world.running.stop().await.unwrap();
}
