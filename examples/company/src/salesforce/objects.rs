//! The objects of the org and their fields.

/// Field and type, as they are described.
pub type Fields = &'static [(&'static str, &'static str)];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Opportunity,
    OpportunityHistory,
    OpportunityContactRole,
    Lead,
    LeadHistory,
    Contact,
    Account,
    User,
    Campaign,
    CampaignMember,
    OpportunityStage,
    RecordType,
    Organization,
}

pub const ALL: [Kind; 13] = [
    Kind::Opportunity,
    Kind::OpportunityHistory,
    Kind::OpportunityContactRole,
    Kind::Lead,
    Kind::LeadHistory,
    Kind::Contact,
    Kind::Account,
    Kind::User,
    Kind::Campaign,
    Kind::CampaignMember,
    Kind::OpportunityStage,
    Kind::RecordType,
    Kind::Organization,
];

const OPPORTUNITY: Fields = &[
    ("Id", "id"),
    ("IsDeleted", "boolean"),
    ("AccountId", "reference"),
    ("RecordTypeId", "reference"),
    ("Name", "string"),
    ("Description", "textarea"),
    ("StageName", "picklist"),
    ("Amount", "currency"),
    ("Probability", "percent"),
    ("CloseDate", "date"),
    ("IsClosed", "boolean"),
    ("IsWon", "boolean"),
    ("LeadSource", "picklist"),
    ("OwnerId", "reference"),
    ("CreatedDate", "datetime"),
    ("LastModifiedDate", "datetime"),
    ("SystemModstamp", "datetime"),
    ("ContactId", "reference"),
    ("TL_Token__c", "string"),
    ("utm_source__c", "string"),
    ("utm_medium__c", "string"),
    ("utm_campaign__c", "string"),
    ("Loss_Reason__c", "picklist"),
    ("Studio_City__c", "string"),
];
const HISTORY: Fields = &[
    ("Id", "id"),
    ("OpportunityId", "reference"),
    ("CreatedById", "reference"),
    ("CreatedDate", "datetime"),
    ("StageName", "picklist"),
    ("Amount", "currency"),
    ("CloseDate", "date"),
    ("SystemModstamp", "datetime"),
    ("IsDeleted", "boolean"),
];
const ROLE: Fields = &[
    ("Id", "id"),
    ("OpportunityId", "reference"),
    ("ContactId", "reference"),
    ("Role", "picklist"),
    ("IsPrimary", "boolean"),
    ("CreatedDate", "datetime"),
    ("SystemModstamp", "datetime"),
    ("IsDeleted", "boolean"),
];
const LEAD: Fields = &[
    ("Id", "id"),
    ("IsDeleted", "boolean"),
    ("MasterRecordId", "reference"),
    ("LastName", "string"),
    ("FirstName", "string"),
    ("Name", "string"),
    ("Company", "string"),
    ("State", "string"),
    ("Address", "address"),
    ("Phone", "phone"),
    ("MobilePhone", "phone"),
    ("Email", "email"),
    ("Status", "picklist"),
    ("OwnerId", "reference"),
    ("IsConverted", "boolean"),
    ("ConvertedDate", "date"),
    ("ConvertedContactId", "reference"),
    ("ConvertedOpportunityId", "reference"),
    ("CreatedDate", "datetime"),
    ("LastModifiedDate", "datetime"),
    ("SystemModstamp", "datetime"),
    ("TL_Token__c", "string"),
    ("utm_source__c", "string"),
    ("utm_medium__c", "string"),
    ("utm_campaign__c", "string"),
];
/// Has no time of a change: what is in it never changes.
const LEAD_HISTORY: Fields = &[
    ("Id", "id"),
    ("IsDeleted", "boolean"),
    ("LeadId", "reference"),
    ("CreatedDate", "datetime"),
    ("Field", "picklist"),
    ("OldValue", "anyType"),
    ("NewValue", "anyType"),
];
const CONTACT: Fields = &[
    ("Id", "id"),
    ("IsDeleted", "boolean"),
    ("MasterRecordId", "reference"),
    ("LastName", "string"),
    ("FirstName", "string"),
    ("Name", "string"),
    ("MailingState", "string"),
    ("MailingAddress", "address"),
    ("Phone", "phone"),
    ("MobilePhone", "phone"),
    ("HomePhone", "phone"),
    ("OtherPhone", "phone"),
    ("Email", "email"),
    ("OwnerId", "reference"),
    ("CreatedDate", "datetime"),
    ("LastModifiedDate", "datetime"),
    ("SystemModstamp", "datetime"),
];
const ACCOUNT: Fields = &[
    ("Id", "id"),
    ("IsDeleted", "boolean"),
    ("MasterRecordId", "reference"),
    ("Name", "string"),
    ("CreatedDate", "datetime"),
    ("SystemModstamp", "datetime"),
];
const USER: Fields = &[
    ("Id", "id"),
    ("Name", "string"),
    ("Email", "email"),
    ("Department", "string"),
    ("IsActive", "boolean"),
    ("CreatedDate", "datetime"),
    ("SystemModstamp", "datetime"),
];
const CAMPAIGN: Fields = &[
    ("Id", "id"),
    ("IsDeleted", "boolean"),
    ("Name", "string"),
    ("Type", "picklist"),
    ("CreatedDate", "datetime"),
    ("SystemModstamp", "datetime"),
];
const MEMBER: Fields = &[
    ("Id", "id"),
    ("IsDeleted", "boolean"),
    ("CampaignId", "reference"),
    ("LeadId", "reference"),
    ("ContactId", "reference"),
    ("Status", "picklist"),
    ("CreatedDate", "datetime"),
    ("SystemModstamp", "datetime"),
];
const STAGE: Fields = &[
    ("Id", "id"),
    ("MasterLabel", "string"),
    ("ApiName", "string"),
    ("IsActive", "boolean"),
    ("SortOrder", "int"),
    ("IsClosed", "boolean"),
    ("IsWon", "boolean"),
    ("SystemModstamp", "datetime"),
];
const RECORD_TYPE: Fields =
    &[("Id", "id"), ("Name", "string"), ("SobjectType", "picklist"), ("SystemModstamp", "datetime")];
const ORGANIZATION: Fields = &[
    ("Id", "id"),
    ("Name", "string"),
    ("Address", "address"),
    ("OrganizationType", "picklist"),
    ("DefaultCurrencyIsoCode", "string"),
    ("TimeZoneSidKey", "picklist"),
    ("SystemModstamp", "datetime"),
];

impl Kind {
    pub fn of(name: &str) -> Option<Kind> {
        ALL.into_iter().find(|k| k.name().eq_ignore_ascii_case(name))
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Opportunity => "Opportunity",
            Kind::OpportunityHistory => "OpportunityHistory",
            Kind::OpportunityContactRole => "OpportunityContactRole",
            Kind::Lead => "Lead",
            Kind::LeadHistory => "LeadHistory",
            Kind::Contact => "Contact",
            Kind::Account => "Account",
            Kind::User => "User",
            Kind::Campaign => "Campaign",
            Kind::CampaignMember => "CampaignMember",
            Kind::OpportunityStage => "OpportunityStage",
            Kind::RecordType => "RecordType",
            Kind::Organization => "Organization",
        }
    }

    pub fn fields(self) -> Fields {
        match self {
            Kind::Opportunity => OPPORTUNITY,
            Kind::OpportunityHistory => HISTORY,
            Kind::OpportunityContactRole => ROLE,
            Kind::Lead => LEAD,
            Kind::LeadHistory => LEAD_HISTORY,
            Kind::Contact => CONTACT,
            Kind::Account => ACCOUNT,
            Kind::User => USER,
            Kind::Campaign => CAMPAIGN,
            Kind::CampaignMember => MEMBER,
            Kind::OpportunityStage => STAGE,
            Kind::RecordType => RECORD_TYPE,
            Kind::Organization => ORGANIZATION,
        }
    }

    /// First three symbols of an id.
    fn prefix(self) -> &'static str {
        match self {
            Kind::Opportunity => "006",
            Kind::OpportunityHistory => "008",
            Kind::OpportunityContactRole => "00K",
            Kind::Lead => "00Q",
            Kind::LeadHistory => "017",
            Kind::Contact => "003",
            Kind::Account => "001",
            Kind::User => "005",
            Kind::Campaign => "701",
            Kind::CampaignMember => "00v",
            Kind::OpportunityStage => "01J",
            Kind::RecordType => "012",
            Kind::Organization => "00D",
        }
    }

    /// The id of a record by its number.
    pub fn id(self, number: u64) -> String {
        long(&format!("{}5g{number:010}", self.prefix()))
    }
}

/// Three more symbols tell which of each five are capitals.
fn long(short: &str) -> String {
    let mut id = short.to_owned();
    for five in short.as_bytes().chunks(5) {
        let mut place = 0;
        for (n, byte) in five.iter().enumerate() {
            if byte.is_ascii_uppercase() {
                place |= 1 << n;
            }
        }
        id.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[place]));
    }
    id
}
