//! Taking back.

use serde_json::json;
use throughline_core::TxnId;

use crate::company_crm::{ALL, World, rows};

#[tokio::test(flavor = "multi_thread")]
async fn what_stood_before_stands_again_where_nobody_changed_it() {
    for crm in ALL {
        let world = World::new(crm).await;
        let deals = world.deals(crm.batch() + 1);
        world.edit(deals[0], 0, "было раньше");
        let given = |channel: &'static str| -> Vec<_> {
            deals.iter().map(|pos| (world.id(*pos), Some(channel), None, Some("1"))).collect()
        };
        world.publish("t1", rows(&given("VK"))).await.unwrap();
        world.publish("t2", rows(&given("Ads"))).await.unwrap();
        // Since then a person changed one, and emptied another.
        world.edit(deals[1], 0, "позвонили сами");
        world.edit(deals[2], 0, "");
        let before = world.writes();
        let sink = world.sink(json!({}));
        let back = sink.write_back().unwrap();
        let txn = TxnId("t2".into());
        let looked = back.undo(&world.context(), &txn, false).await.unwrap();
        assert_eq!(world.writes(), before, "looking writes nothing");
        let undone = back.undo(&world.context(), &txn, true).await.unwrap();
        assert_eq!(undone, looked);
        assert_eq!((undone.records as usize, undone.left_in_all), (deals.len() - 2, 2), "{undone:?}");
        assert!(undone.left[0].contains(&world.id(deals[1])) && undone.left[0].contains("позвонили сами"));
        let channel = |n: usize| world.held(deals[n])[0].clone();
        assert_eq!(channel(0).as_deref(), Some("VK"));
        assert_eq!(channel(1).as_deref(), Some("позвонили сами"));
        assert_eq!(channel(crm.batch()).as_deref(), Some("VK"));
        // Touches were the same in both: they are not touched.
        assert!(world.held(deals[3])[2].is_some());
        let again = back.undo(&world.context(), &txn, true).await.unwrap();
        assert_eq!((again.fields, again.already as usize), (0, deals.len() - 2), "{again:?}");
        // The epoch before, too: the value of the person who was there first.
        back.undo(&world.context(), &TxnId("t1".into()), true).await.unwrap();
        assert_eq!(channel(0).as_deref(), Some("было раньше"));
        assert_eq!((channel(5), world.held(deals[5])[2].clone()), (None, None));
        // It stays so until attribution says something else.
        let writes = world.writes();
        world.publish("t3", rows(&given("Ads"))).await.unwrap();
        assert_eq!(world.writes(), writes);
        world.publish("t4", rows(&given("Bing"))).await.unwrap();
        assert_eq!(channel(5).as_deref(), Some("Bing"));
        // Older transactions are forgotten when somebody is.
        let dropped = sink.drop_older(&world.context(), &TxnId("t4".into())).await.unwrap();
        assert!(dropped.is_some_and(|n| n > 0));
        let nothing = back.undo(&world.context(), &txn, true).await.unwrap();
        assert_eq!((nothing.fields, nothing.left_in_all), (0, 0));
        world.running.stop().await.unwrap();
    }
}
