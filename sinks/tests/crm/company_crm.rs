//! The company's CRMs and the sinks as a process of its own would set them up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use company::faults::Rule;
use company::written::Written;
use company::{Company, Config, Options, Running, Server};
use futures::StreamExt as _;
use serde_json::{Value, json};
use throughline_core::{
    Committable, Context, DynSink, FixedClock, NoteStore, Receipt, Redactor, Result, SinkConnector, Table,
    TxnId,
};
use throughline_http::{Client, HttpSettings, Limits};
use throughline_store::Store;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crm {
    Amocrm,
    Hubspot,
    Bitrix24,
}

pub const ALL: [Crm; 3] = [Crm::Amocrm, Crm::Hubspot, Crm::Bitrix24];

impl Crm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Amocrm => "amocrm",
            Self::Hubspot => "hubspot",
            Self::Bitrix24 => "bitrix24",
        }
    }
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Amocrm => "amocrm:studio:",
            Self::Hubspot => "hubspot:7:",
            Self::Bitrix24 => "bitrix24:studio.bitrix24.example:",
        }
    }
    pub fn batch(self) -> usize {
        if self == Self::Hubspot { 100 } else { 50 }
    }
    /// Names of fields for channel, page and touches.
    pub fn fields(self) -> [&'static str; 3] {
        match self {
            Self::Amocrm => ["TL_CHANNEL", "TL_PAGE", "TL_TOUCHES"],
            Self::Hubspot => ["tl_channel", "tl_page", "tl_touches"],
            Self::Bitrix24 => ["UF_CRM_TL_CHANNEL", "UF_CRM_TL_PAGE", "UF_CRM_TL_TOUCHES"],
        }
    }
    /// Where writes go, for faults.
    pub fn writes_at(self) -> &'static str {
        match self {
            Self::Amocrm => "/api/v4/leads?write",
            Self::Hubspot => "/deals/batch/update",
            Self::Bitrix24 => "crm.item.update",
        }
    }
    pub fn reads_at(self) -> &'static str {
        match self {
            Self::Amocrm => "filter%5Bid%5D",
            Self::Hubspot => "/deals/batch/read",
            Self::Bitrix24 => "crm.item.list",
        }
    }
}

pub struct World {
    pub crm: Crm,
    pub running: Running,
    folder: tempfile::TempDir,
}

impl World {
    /// A company with its fields made.
    pub async fn new(crm: Crm) -> Self {
        let world = Self::bare(crm).await;
        let back = world.sink(json!({}));
        back.write_back().unwrap().setup(&world.context(), true).await.unwrap();
        world
    }

    pub async fn bare(crm: Crm) -> Self {
        let config = Config { seed: 7, visits: 60, days: 10, history: 260, ..Config::default() };
        let options = Options { crm_rps: 0, ..Options::default() };
        let running = Server::new(Company::new(config), options).start().await.unwrap();
        Self { crm, running, folder: tempfile::tempdir().unwrap() }
    }

    pub fn server(&self) -> &Server {
        &self.running.server
    }

    pub fn written(&self) -> &Written {
        match self.crm {
            Crm::Amocrm => &self.server().crm.written,
            Crm::Hubspot => &self.server().hubspot.written,
            Crm::Bitrix24 => &self.server().bitrix24.written,
        }
    }

    pub fn faults(&self, rules: &[String]) {
        self.server().faults.set(rules.iter().map(|rule| Rule::parse(rule).unwrap()).collect());
    }

    pub fn fired(&self) -> u64 {
        self.server().faults.by_kind().values().sum()
    }

    pub fn account(&self) -> Value {
        let url = self.running.url();
        let secret = |value: &str| json!({ throughline_core::secret::SECRET_KEY: value });
        match self.crm {
            Crm::Amocrm => {
                json!({"subdomain": "studio", "base_url": url, "token": secret(company::amocrm::auth::LONG_LIVED)})
            }
            Crm::Hubspot => {
                json!({"hub_id": "7", "base_url": url, "token": secret(company::hubspot::auth::PRIVATE_TOKEN)})
            }
            Crm::Bitrix24 => json!({
                "portal": "studio.bitrix24.example", "base_url": url,
                "webhook": secret(&company::bitrix24::auth::webhook(&url)),
            }),
        }
    }

    /// The sink with the three fields, and further options in place of theirs.
    pub fn sink(&self, more: Value) -> DynSink {
        connector(self.crm).build(&self.options(more)).map_err(|e| format!("{e:?}")).unwrap()
    }

    pub fn options(&self, more: Value) -> throughline_core::Options {
        let [channel, page, touches] = self.crm.fields();
        let mut value = self.account();
        value["fields"] =
            json!({ "channel": channel, "page": page, "touches": { "field": touches, "type": "number" } });
        for (key, given) in more.as_object().unwrap() {
            value[key] = given.clone();
        }
        throughline_core::Options { name: "back".into(), value, base_dir: self.folder.path().into() }
    }

    pub fn store(&self) -> Store {
        Store::open(self.folder.path().join("state.db")).unwrap()
    }

    /// What a fresh process has; the state outlives it.
    pub fn context(&self) -> Context {
        let store = self.store();
        let notes = store.notes("shop", "back");
        self.context_with(&store, notes)
    }

    pub fn context_with(&self, store: &Store, notes: Arc<dyn NoteStore>) -> Context {
        let clock = Arc::new(FixedClock::at_us(1_788_000_000_000_000));
        let client =
            Client::new(&HttpSettings::default(), Arc::new(Limits::new()), clock.clone(), Redactor::new());
        Context {
            name: "back".into(),
            clock,
            http: Arc::new(client.unwrap().with_seed(1)),
            tokens: store.tokens(store.token_key().unwrap()),
            notes,
            cancel: Default::default(),
            scratch: Path::new("/nonexistent").into(),
        }
    }

    /// Places of deals that are there.
    pub fn deals(&self, count: usize) -> Vec<u32> {
        let (company, now) = (&self.server().company, self.server().now());
        let there = (0..company.leads_until(now)).filter(|pos| !company.lead(*pos).deal.view(now).deleted);
        let found: Vec<u32> = there.take(count).collect();
        assert_eq!(found.len(), count, "the company has too few deals");
        found
    }

    pub fn id(&self, pos: u32) -> String {
        format!("{}{}", self.crm.prefix(), self.server().company.lead_id(pos))
    }

    /// The three fields of a deal, as the CRM holds them.
    pub fn held(&self, pos: u32) -> [Option<String>; 3] {
        let values = self.written().of(pos);
        let made = self.written().made();
        self.crm.fields().map(|name| {
            let field = made.iter().find(|f| f.code == name || f.key == name)?;
            let value = values.get(&field.key).filter(|v| !v.is_null())?;
            let value = if self.crm == Crm::Amocrm { &value["values"][0]["value"] } else { value };
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
    }

    /// A person's own edit.
    pub fn edit(&self, pos: u32, field: usize, text: &str) {
        let name = self.crm.fields()[field];
        let made = self.written().made().into_iter().find(|f| f.code == name || f.key == name).unwrap();
        let value = match self.crm {
            Crm::Amocrm => json!({
                "field_id": made.key.parse::<u64>().unwrap(), "field_name": made.label, "field_code": made.code,
                "field_type": made.kind, "values": [{ "value": text }],
            }),
            _ => json!(text),
        };
        self.written().edit(pos, &made.key, value);
    }

    pub fn writes(&self) -> BTreeMap<u32, u64> {
        self.written().writes()
    }

    pub async fn publish(&self, txn: &str, rows: RecordBatch) -> Result<Receipt> {
        let (sink, ctx) = (self.sink(json!({})), self.context());
        let staged = stage(&sink, &ctx, txn, rows).await?;
        // Through the ledger, to a fresh process.
        let kept: Committable = serde_json::from_str(&serde_json::to_string(&staged).unwrap()).unwrap();
        self.sink(json!({})).commit(&self.context(), &TxnId(txn.into()), &[kept]).await
    }

    /// Reasons and places of what a transaction's destination refused.
    pub async fn refused(&self, txn: &str) -> Vec<(String, String)> {
        let (sink, mut after, mut all) = (self.sink(json!({})), None, Vec::new());
        loop {
            let back = sink.write_back().unwrap();
            let part = back.refused(&self.context(), &TxnId(txn.into()), after).await.unwrap();
            all.extend(part.rejects.into_iter().map(|r| (r.place, r.reason)));
            after = part.next;
            if after.is_none() {
                return all;
            }
        }
    }
}

pub fn connector(crm: Crm) -> Box<dyn SinkConnector> {
    let all = throughline_sinks::write_back(throughline_connectors::connections());
    all.into_iter().find(|c| c.name() == crm.name()).unwrap()
}

pub async fn stage(sink: &DynSink, ctx: &Context, txn: &str, rows: RecordBatch) -> Result<Committable> {
    let table = Table {
        name: "deal_attribution".into(),
        schema: rows.schema(),
        key: vec!["deal_id".into()],
        partition_by: None,
        doc: String::new(),
    };
    let batches: Vec<_> = (0..rows.num_rows())
        .step_by(33)
        .map(|from| Ok(rows.slice(from, 33.min(rows.num_rows() - from))))
        .collect();
    sink.stage(ctx, &table, futures::stream::iter(batches).boxed(), &TxnId(txn.into())).await
}

/// A row of the table that the engine makes: deal, channel, page, touches.
pub type Row<'a> = (String, Option<&'a str>, Option<String>, Option<&'a str>);

pub fn rows(of: &[Row]) -> RecordBatch {
    let column = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    RecordBatch::try_from_iter([
        ("deal_id", column(of.iter().map(|r| Some(r.0.as_str())).collect())),
        ("channel", column(of.iter().map(|r| r.1).collect())),
        ("page", column(of.iter().map(|r| r.2.as_deref()).collect())),
        ("touches", column(of.iter().map(|r| r.3).collect())),
    ])
    .unwrap()
}
