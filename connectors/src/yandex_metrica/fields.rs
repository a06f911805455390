//! Which fields are asked for, and what their values are.
//!
//! Names and types: the field lists of the Logs API reference (visits, hits). `<attribution>` stands
//! for the model, as in Metrica's own pages.

use throughline_core::{ColumnSpec, ColumnType};

/// The longest list one request takes, in characters.
pub(crate) const MAX_CHARS: usize = 3000;

/// Without these a row cannot be placed.
pub(crate) const REQUIRED: &[&str] =
    &["ym:s:visitID", "ym:s:date", "ym:s:dateTime", "ym:pv:watchID", "ym:pv:date", "ym:pv:dateTime"];

const VISITS: &[&str] = &[
    "ym:s:visitID",
    "ym:s:clientID",
    "ym:s:date",
    "ym:s:dateTime",
    "ym:s:dateTimeUTC",
    "ym:s:isNewUser",
    "ym:s:startURL",
    "ym:s:endURL",
    "ym:s:referer",
    "ym:s:pageViews",
    "ym:s:visitDuration",
    "ym:s:bounce",
    "ym:s:regionCountry",
    "ym:s:regionCity",
    "ym:s:<attribution>TrafficSource",
    "ym:s:<attribution>AdvEngine",
    "ym:s:<attribution>ReferalSource",
    "ym:s:<attribution>SearchEngineRoot",
    "ym:s:<attribution>SocialNetwork",
    "ym:s:<attribution>Messenger",
    "ym:s:<attribution>RecommendationSystem",
    "ym:s:<attribution>DirectClickOrder",
    "ym:s:<attribution>DirectClickOrderName",
    "ym:s:<attribution>DirectBannerGroup",
    "ym:s:<attribution>ClickBannerGroupName",
    "ym:s:<attribution>DirectClickBanner",
    "ym:s:<attribution>DirectClickBannerName",
    "ym:s:<attribution>DirectPhraseOrCond",
    "ym:s:<attribution>UTMSource",
    "ym:s:<attribution>UTMMedium",
    "ym:s:<attribution>UTMCampaign",
    "ym:s:<attribution>UTMContent",
    "ym:s:<attribution>UTMTerm",
    "ym:s:<attribution>GCLID",
    "ym:s:deviceCategory",
    "ym:s:mobilePhone",
    "ym:s:mobilePhoneModel",
    "ym:s:operatingSystemRoot",
    "ym:s:operatingSystem",
    "ym:s:browser",
    "ym:s:browserLanguage",
    "ym:s:screenWidth",
    "ym:s:screenHeight",
    "ym:s:screenFormat",
    "ym:s:goalsID",
    "ym:s:goalsDateTime",
    "ym:s:goalsPrice",
    "ym:s:goalsOrder",
    "ym:s:parsedParamsKey1",
    "ym:s:parsedParamsKey2",
];

const HITS: &[&str] = &[
    "ym:pv:watchID",
    "ym:pv:visitID",
    "ym:pv:pageViewID",
    "ym:pv:clientID",
    "ym:pv:date",
    "ym:pv:dateTime",
    "ym:pv:title",
    "ym:pv:URL",
    "ym:pv:referer",
    "ym:pv:isPageView",
    "ym:pv:link",
    "ym:pv:download",
    "ym:pv:artificial",
    "ym:pv:goalsID",
    "ym:pv:parsedParamsKey1",
    "ym:pv:parsedParamsKey2",
];

/// Added to every row: the counter's zone, in which `dateTime` is given.
pub(crate) const TIME_ZONE: &str = "time_zone";

/// The two exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Visits,
    Hits,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Visits, Self::Hits];

    /// The stream, and the `source` parameter of a request.
    pub fn stream(self) -> &'static str {
        match self {
            Self::Visits => "visits",
            Self::Hits => "hits",
        }
    }
    pub fn of_stream(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.stream() == name)
    }
    pub fn of_field(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| name.strip_prefix(k.prefix()).is_some_and(|rest| !rest.is_empty()))
    }
    fn prefix(self) -> &'static str {
        match self {
            Self::Visits => "ym:s:",
            Self::Hits => "ym:pv:",
        }
    }
    pub fn date(self) -> &'static str {
        match self {
            Self::Visits => "ym:s:date",
            Self::Hits => "ym:pv:date",
        }
    }
    pub fn id(self) -> &'static str {
        match self {
            Self::Visits => "ym:s:visitID",
            Self::Hits => "ym:pv:watchID",
        }
    }
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Visits => VISITS,
            Self::Hits => HITS,
        }
    }
}

/// The fields to ask for.
pub(crate) fn list(kind: Kind, attribution: &str, more: &[String], less: &[String]) -> Vec<String> {
    let mut fields: Vec<String> =
        kind.usual().iter().map(|f| f.replace("<attribution>", attribution)).collect();
    for field in more.iter().filter(|f| Kind::of_field(f) == Some(kind)) {
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    }
    fields.retain(|f| !less.contains(f) || REQUIRED.contains(&f.as_str()));
    fields
}

/// Whether a field's values are lists.
pub(crate) fn is_list(field: &str) -> bool {
    const STARTS: &[&str] = &[
        "goals",
        "watchIDs",
        "parsedParamsKey",
        "purchase",
        "product",
        "eventsProduct",
        "impressions",
        "promotion",
        "offlineCall",
    ];
    let name = field.rsplit(':').next().unwrap_or(field);
    STARTS.iter().any(|s| name.starts_with(s))
}

/// Texts that become a list when several systems are known: `[,,,telegram]`.
pub(crate) fn may_be_list(field: &str) -> bool {
    let name = field.to_ascii_lowercase();
    name.ends_with("messenger") || name.ends_with("recommendationsystem")
}

/// The contract with the mappings: everything asked for, the usual fields even when left out.
pub(crate) fn contract(kind: Kind, attribution: &str, asked: &[String]) -> Vec<ColumnSpec> {
    let mut names = list(kind, attribution, &[], &[]);
    names.extend(asked.iter().filter(|f| !names.contains(f)).cloned().collect::<Vec<_>>());
    let mut columns: Vec<ColumnSpec> = names
        .into_iter()
        .map(|name| ColumnSpec { kind: column_type(&name), name, doc: String::new() })
        .collect();
    columns.push(ColumnSpec {
        name: TIME_ZONE.into(),
        kind: ColumnType::Text,
        doc: "the counter's time zone, in which dateTime is given".into(),
    });
    columns
}

fn column_type(field: &str) -> ColumnType {
    const INTS: &[&str] = &[
        "isNewUser",
        "pageViews",
        "visitDuration",
        "bounce",
        "screenWidth",
        "screenHeight",
        "isPageView",
        "link",
        "download",
        "artificial",
    ];
    let name = field.rsplit(':').next().unwrap_or(field);
    if is_list(field) {
        ColumnType::Json
    } else if INTS.contains(&name) {
        ColumnType::Int
    } else {
        // Ids too: they go beyond 2^63, and nobody adds them up.
        ColumnType::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart() {
        assert_eq!(Kind::of_field("ym:pv:URL"), Some(Kind::Hits));
        assert_eq!(Kind::of_field("ym:s:"), None);
        assert!(is_list("ym:s:goalsID") && is_list("ym:pv:parsedParamsKey10") && !is_list("ym:s:goal"));
        assert!(may_be_list("ym:s:cross_device_lastMessenger") && may_be_list("ym:pv:recommendationSystem"));
        assert!(list(Kind::Visits, "last", &[], &[]).join(",").len() < MAX_CHARS);
    }
}
