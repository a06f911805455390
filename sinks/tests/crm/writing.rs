//! What is written, what is not, and how often.

use serde_json::json;
use throughline_core::{ErrorKind, TxnId};

use crate::company_crm::{ALL, Crm, Row, World, connector, rows, stage};

fn row<'a>(world: &World, pos: u32) -> Row<'a> {
    (world.id(pos), Some("Яндекс Директ"), Some(format!("studio.example/«{pos}»?a=1&b=[2]")), Some("3"))
}

#[tokio::test(flavor = "multi_thread")]
async fn around_every_batch_each_deal_is_written_once() {
    for crm in ALL {
        let world = World::new(crm).await;
        let mut written = 0;
        for (n, count) in [0, 1, crm.batch() - 1, crm.batch(), crm.batch() + 1].into_iter().enumerate() {
            let deals = world.deals(count);
            let given: Vec<Row> = deals.iter().map(|pos| row(&world, *pos)).collect();
            let txn = format!("t{n}");
            let receipt = world.publish(&txn, rows(&given)).await.unwrap();
            assert_eq!(receipt.rows, count as u64);
            for pos in &deals {
                let page = format!("studio.example/«{pos}»?a=1&b=[2]");
                let [channel, held, touches] = world.held(*pos);
                assert_eq!((channel.as_deref(), held), (Some("Яндекс Директ"), Some(page)), "{crm:?}");
                assert_eq!(touches.unwrap().trim_end_matches(".0"), "3", "{crm:?}");
            }
            // Only those that were not written before.
            assert!(receipt.location.contains(&format!("{} deals written", count - written)), "{receipt:?}");
            written = count;
            assert_eq!(world.writes().len(), count);
            let again = world.sink(json!({})).commit(&world.context(), &TxnId(txn), &[]).await.unwrap();
            assert_eq!(again, receipt);
        }
        assert!(world.writes().values().all(|n| *n == 1), "{crm:?} {:?}", world.writes());
        assert_eq!(world.refused("t4").await, []);
        world.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filled_field_is_emptied_only_when_told() {
    for crm in ALL {
        let world = World::new(crm).await;
        let pos = world.deals(1)[0];
        world.edit(pos, 1, "a person's page");
        let given = (world.id(pos), Some("VK"), None, Some(" "));
        world.publish("t1", rows(std::slice::from_ref(&given))).await.unwrap();
        assert_eq!(world.held(pos), [Some("VK".into()), Some("a person's page".into()), None]);
        // Nothing at all to write is no write.
        let other = world.deals(2)[1];
        world.publish("t2", rows(&[(world.id(other), None, Some(String::new()), None)])).await.unwrap();
        assert_eq!(world.writes().len(), 1);

        let [channel, page, _] = crm.fields();
        let sink =
            world.sink(json!({ "fields": { "channel": channel, "page": { "field": page, "clear": true } } }));
        let txn = TxnId("t3".into());
        let staged = stage(&sink, &world.context(), "t3", rows(&[given])).await.unwrap();
        sink.commit(&world.context(), &txn, &[staged]).await.unwrap();
        assert_eq!(world.held(pos), [Some("VK".into()), None, None], "{crm:?}");
        world.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_told_and_the_others_go_on() {
    for crm in ALL {
        let world = World::new(crm).await;
        let deals = world.deals(crm.batch() + 2);
        let gone = format!("{}999999999", crm.prefix());
        let mut given: Vec<Row> = deals.iter().map(|pos| row(&world, *pos)).collect();
        given[1].3 = Some("many");
        given[3].0.clone_from(&gone);
        // Others' deals, leads and rows without a deal are none of ours.
        given.push(("amocrm:other:5".into(), Some("x"), None, None));
        given.push((format!("{}lead_5", crm.prefix()), Some("x"), None, None));
        given.push((crm.prefix().to_owned(), Some("x"), None, None));
        let receipt = world.publish("t1", rows(&given)).await.unwrap();
        assert_eq!(receipt.rows as usize, given.len());
        assert!(receipt.location.contains("2 refused"), "{receipt:?}");
        let refused = world.refused("t1").await;
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(
            refused[0].0.contains(&world.id(deals[1])) && refused[0].1.contains("\"many\" is none"),
            "{refused:?}"
        );
        assert!(refused[1].0.contains(&gone) && refused[1].1.contains("no such deal"), "{refused:?}");
        assert_eq!(world.writes().len(), deals.len() - 2);
        // Staged anew it is tried again, and only it.
        given[1].3 = Some("2");
        world.publish("t2", rows(&given)).await.unwrap();
        assert_eq!(world.writes().len(), deals.len() - 1);
        assert!(world.writes().values().all(|n| *n == 1));
        assert_eq!(world.refused("t2").await.len(), 1);
        world.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_too_long_and_values_without_an_option_are_no_silent_loss() {
    let world = World::new(Crm::Amocrm).await;
    let deals = world.deals(4);
    let long: String = "страница ".repeat(40);
    let given: Vec<Row> =
        deals.iter().map(|pos| (world.id(*pos), Some("поиск"), Some(long.clone()), None)).collect();
    let receipt = world.publish("t1", rows(&given[..2])).await.unwrap();
    assert!(receipt.location.contains("2 refused"), "{receipt:?}");
    assert!(world.refused("t1").await[0].1.contains("the CRM takes 256"));
    // Cut when told, and told how often; a list takes the option of that name.
    let fields = json!({ "channel": "812003", "page": { "field": "TL_PAGE", "cut": true } });
    let sink = world.sink(json!({ "fields": fields }));
    let mut given = given;
    given[3].1 = Some("звонок");
    let staged = stage(&sink, &world.context(), "t2", rows(&given)).await.unwrap();
    let receipt = sink.commit(&world.context(), &TxnId("t2".into()), &[staged]).await.unwrap();
    assert!(
        receipt.location.contains("3 values cut") && receipt.location.contains("1 refused"),
        "{receipt:?}"
    );
    assert!(world.refused("t2").await[0].1.contains("no option \"звонок\""));
    let held = world.held(deals[0])[1].clone().unwrap();
    assert_eq!(held, long.chars().take(256).collect::<String>().trim_end());
    assert_eq!(world.written().of(deals[0])["812003"]["values"][0]["enum_id"], 912_003);
    // What was cut and what was chosen are the same the next time.
    let before = world.writes();
    let staged = stage(&sink, &world.context(), "t3", rows(&given[..3])).await.unwrap();
    assert_eq!(staged.detail["parts"], 0);
    // Also for a process that forgot: the CRM holds it already.
    let store = world.store();
    let ctx = world.context_with(&store, store.notes("shop", "forgot"));
    let staged = stage(&sink, &ctx, "t4", rows(&given[..3])).await.unwrap();
    let receipt = sink.commit(&ctx, &TxnId("t4".into()), &[staged]).await.unwrap();
    assert!(receipt.location.contains("0 deals written, 3 held it already"), "{receipt:?}");
    assert_eq!(world.writes(), before);
    world.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_made_once_and_missing_ones_stop_before_anything_is_prepared() {
    for crm in ALL {
        let world = World::bare(crm).await;
        let sink = world.sink(json!({}));
        let pos = world.deals(1)[0];
        let error = stage(&sink, &world.context(), "t1", rows(&[row(&world, pos)])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains(crm.fields()[0]) && error.to_string().contains("sink setup"),
            "{error}"
        );
        let back = sink.write_back().unwrap();
        let shown = back.setup(&world.context(), false).await.unwrap();
        assert_eq!(shown.len(), 3);
        assert!(world.written().made().is_empty() && shown.iter().all(|m| !m.made));
        let made = back.setup(&world.context(), true).await.unwrap();
        assert!(made.len() == 3 && made.iter().all(|m| m.made), "{made:?}");
        assert_eq!(world.written().made().len(), 3);
        assert_eq!(back.setup(&world.context(), true).await.unwrap(), []);
        let report = sink.check(&world.context()).await.unwrap();
        assert!(report.warnings.is_empty() && report.facts.len() == 4, "{report:?}");
        // One deal, one row.
        let twice = [row(&world, pos), row(&world, pos)];
        let error = stage(&sink, &world.context(), "t1", rows(&twice)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        // A field that the CRM reckons itself is refused by name.
        let fixed = match crm {
            Crm::Amocrm => None,
            Crm::Hubspot => Some("hs_is_closed"),
            Crm::Bitrix24 => Some("createdTime"),
        };
        if let Some(fixed) = fixed {
            let sink = world.sink(json!({ "fields": { "channel": fixed } }));
            let error = stage(&sink, &world.context(), "t2", rows(&[row(&world, pos)])).await.unwrap_err();
            assert!(error.to_string().contains("read only"), "{error}");
        }
        assert!(world.writes().is_empty());
        world.running.stop().await.unwrap();
    }
    assert_eq!(connector(Crm::Hubspot).name(), "hubspot");
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_told_without_writing() {
    for crm in ALL {
        let world = World::new(crm).await;
        let deals = world.deals(crm.batch() + 3);
        world.edit(deals[0], 0, "звонок");
        let mut given: Vec<Row> = deals.iter().map(|pos| row(&world, *pos)).collect();
        given[1].3 = Some("x");
        let batches = vec![Ok(rows(&given))];
        let sink = world.sink(json!({}));
        let back = sink.write_back().unwrap();
        let stream = Box::pin(futures::stream::iter(batches));
        let found = back.differences(&world.context(), stream, 3).await.unwrap();
        assert_eq!((found.changed as usize, found.asked), (deals.len(), 3));
        assert_eq!((found.fields.len(), found.refused.len()), (6, 1), "{found:?}");
        let first =
            found.fields.iter().find(|d| d.record == world.id(deals[0]) && d.before.is_some()).unwrap();
        assert_eq!(
            (first.before.as_deref(), first.after.as_deref()),
            (Some("звонок"), Some("Яндекс Директ"))
        );
        assert!(world.writes().is_empty());
        world.running.stop().await.unwrap();
    }
}
