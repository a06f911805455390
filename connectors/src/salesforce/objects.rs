//! Which objects are streams, and what the mappings take their fields for.
//!
//! <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/>

use throughline_core::{Capabilities, ColumnSpec, ColumnType, StreamSpec};

/// Columns that the options `token_field` and so on name, under names that do not depend on them.
pub(crate) const MARKS: [&str; 5] = ["tl_token", "tl_source", "tl_medium", "tl_campaign", "tl_lost_reason"];

/// An object that is a stream.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub stream: String,
    /// As the API calls it.
    pub name: String,
    doc: String,
    columns: &'static [(&'static str, ColumnType)],
    pub reading: Reading,
    /// Not every org has it, and nothing depends on it: without it the stream is empty.
    pub optional: bool,
    /// Has [`MARKS`].
    pub marked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// What changed.
    Changes,
    /// All of it, every time: a short list.
    Whole,
}

use ColumnType::{Bool, Text};

type Columns = &'static [(&'static str, ColumnType)];

const OPPORTUNITY: Columns = &[
    ("Id", Text),
    ("IsDeleted", Bool),
    ("AccountId", Text),
    ("ContactId", Text),
    ("RecordTypeId", Text),
    ("Name", Text),
    ("StageName", Text),
    ("Amount", Text),
    ("CurrencyIsoCode", Text),
    ("CloseDate", Text),
    ("IsClosed", Bool),
    ("IsWon", Bool),
    ("OwnerId", Text),
    ("CreatedDate", Text),
    ("SystemModstamp", Text),
];
const LEAD: Columns = &[
    ("Id", Text),
    ("IsDeleted", Bool),
    ("MasterRecordId", Text),
    ("Name", Text),
    ("Company", Text),
    ("Phone", Text),
    ("MobilePhone", Text),
    ("Email", Text),
    ("State", Text),
    ("Status", Text),
    ("OwnerId", Text),
    ("IsConverted", Bool),
    ("ConvertedContactId", Text),
    ("ConvertedOpportunityId", Text),
    ("CreatedDate", Text),
    ("SystemModstamp", Text),
];
const CONTACT: Columns = &[
    ("Id", Text),
    ("IsDeleted", Bool),
    ("MasterRecordId", Text),
    ("Name", Text),
    ("Phone", Text),
    ("MobilePhone", Text),
    ("HomePhone", Text),
    ("OtherPhone", Text),
    ("Email", Text),
    ("MailingState", Text),
    ("OwnerId", Text),
    ("CreatedDate", Text),
    ("SystemModstamp", Text),
];
const ACCOUNT: Columns = &[
    ("Id", Text),
    ("IsDeleted", Bool),
    ("MasterRecordId", Text),
    ("Name", Text),
    ("PersonContactId", Text),
    ("SystemModstamp", Text),
];
const USER: Columns = &[
    ("Id", Text),
    ("Name", Text),
    ("Email", Text),
    ("Department", Text),
    ("IsActive", Bool),
    ("SystemModstamp", Text),
];
const OPPORTUNITY_HISTORY: Columns = &[
    ("Id", Text),
    ("IsDeleted", Bool),
    ("OpportunityId", Text),
    ("StageName", Text),
    ("Amount", Text),
    ("CreatedById", Text),
    ("CreatedDate", Text),
];
const CONTACT_ROLE: Columns = &[
    ("Id", Text),
    ("IsDeleted", Bool),
    ("OpportunityId", Text),
    ("ContactId", Text),
    ("IsPrimary", Bool),
    ("SystemModstamp", Text),
];
const CAMPAIGN: Columns =
    &[("Id", Text), ("IsDeleted", Bool), ("Name", Text), ("Type", Text), ("SystemModstamp", Text)];
const CAMPAIGN_MEMBER: Columns = &[
    ("Id", Text),
    ("IsDeleted", Bool),
    ("CampaignId", Text),
    ("LeadId", Text),
    ("ContactId", Text),
    ("Status", Text),
    ("SystemModstamp", Text),
];
const STAGE: Columns = &[("Id", Text), ("MasterLabel", Text), ("IsClosed", Bool), ("IsWon", Bool)];
const RECORD_TYPE: Columns = &[("Id", Text), ("Name", Text), ("SobjectType", Text)];
const ORGANIZATION: Columns =
    &[("Id", Text), ("Name", Text), ("DefaultCurrencyIsoCode", Text), ("TimeZoneSidKey", Text)];
const OTHER: Columns = &[("Id", Text)];

impl Object {
    fn new(stream: &str, name: &str, doc: &str, columns: Columns) -> Self {
        Self {
            stream: stream.into(),
            name: name.into(),
            doc: doc.into(),
            columns,
            reading: Reading::Changes,
            optional: false,
            marked: false,
        }
    }
    fn marked(self) -> Self {
        Self { marked: true, ..self }
    }
    fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
    fn whole(self) -> Self {
        Self { reading: Reading::Whole, ..self }
    }

    /// One that the user named; its stream is called as the object.
    pub fn other(name: &str) -> Self {
        Self::new(name, name, &format!("Records of {name}, all fields."), OTHER)
    }

    /// Fields that the mappings use, apart from those that only some orgs have.
    pub fn relied_on(&self) -> impl Iterator<Item = &'static str> {
        const SOME: [&str; 6] = [
            "CurrencyIsoCode",
            "DefaultCurrencyIsoCode",
            "RecordTypeId",
            "PersonContactId",
            "MasterRecordId",
            "ContactId",
        ];
        self.columns.iter().map(|(name, _)| *name).filter(|name| !SOME.contains(name))
    }

    pub fn spec(&self) -> StreamSpec {
        let column = |name: &str, kind, doc: &str| ColumnSpec { name: name.into(), kind, doc: doc.into() };
        let mut columns: Vec<ColumnSpec> =
            self.columns.iter().map(|(name, kind)| column(name, *kind, "")).collect();
        if self.marked {
            let docs = ["token", "source", "medium", "campaign", "lost_reason"];
            let doc = |of: &str| format!("the field that `{of}_field` names");
            columns.extend(MARKS.iter().zip(docs).map(|(name, of)| column(name, Text, &doc(of))));
        }
        let changes = self.reading == Reading::Changes;
        StreamSpec {
            name: self.stream.clone(),
            doc: self.doc.clone(),
            key: vec!["Id".into()],
            columns,
            restates: None,
            capabilities: Capabilities {
                incremental: changes,
                // Users are never deleted.
                deletes: self.name != "User",
                count: true,
                resumable: changes,
                windowed: changes,
                ..Default::default()
            },
        }
    }
}

/// Streams that every source of an org has.
pub(crate) fn built_in() -> Vec<Object> {
    vec![
        Object::new("opportunities", "Opportunity", "Deals, all fields.", OPPORTUNITY).marked(),
        Object::new(
            "opportunity_history",
            "OpportunityHistory",
            "How deals moved: stage and amount after each change.",
            OPPORTUNITY_HISTORY,
        ),
        Object::new(
            "opportunity_contact_roles",
            "OpportunityContactRole",
            "Who belongs to which deal.",
            CONTACT_ROLE,
        ),
        Object::new("leads", "Lead", "Leads, all fields.", LEAD).marked(),
        Object::new("contacts", "Contact", "People, all fields.", CONTACT),
        Object::new("accounts", "Account", "Companies, all fields; also people that are accounts.", ACCOUNT),
        Object::new("users", "User", "People who work in the org, also former ones.", USER),
        Object::new("campaigns", "Campaign", "Campaigns, all fields.", CAMPAIGN).optional(),
        Object::new("campaign_members", "CampaignMember", "Who belongs to which campaign.", CAMPAIGN_MEMBER)
            .optional(),
        Object::new("stages", "OpportunityStage", "Stages of deals.", STAGE).whole(),
        Object::new("record_types", "RecordType", "Kinds of records: processes of sale.", RECORD_TYPE)
            .whole()
            .optional(),
        Object::new("organization", "Organization", "The org: currency, time zone.", ORGANIZATION).whole(),
    ]
}
