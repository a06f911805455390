//! The fields that the Logs API knows, by its documentation, and what each of them shows.

/// Which visit of the visitor a source field speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    Own,
    LastSign,
    First,
    LastDirectClick,
    CrossLastSign,
    CrossFirst,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Src {
    TrafficSource,
    AdvEngine,
    ReferalSource,
    SearchEngineRoot,
    SearchEngine,
    SocialNetwork,
    DirectClickOrder,
    DirectBannerGroup,
    DirectClickBanner,
    DirectClickOrderName,
    ClickBannerGroupName,
    DirectClickBannerName,
    DirectPhraseOrCond,
    DirectConditionType,
    DirectPlatformType,
    CurrencyId,
    UtmCampaign,
    UtmContent,
    UtmMedium,
    UtmSource,
    UtmTerm,
    HasGclid,
    Gclid,
    Messenger,
    /// Always empty here.
    Text,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    Id,
    VisitId,
    PageViewId,
    CounterId,
    WatchIds,
    Date,
    DateTime,
    DateTimeUtc,
    IsNewUser,
    StartUrl,
    EndUrl,
    PageViews,
    Duration,
    Bounce,
    Ip,
    Country,
    City,
    CountryId,
    CityId,
    ClientId,
    UserHash,
    GoalsId,
    GoalsSerial,
    GoalsDateTime,
    GoalsPrice,
    GoalsText,
    Referer,
    Language,
    BrowserCountry,
    TimeZone,
    DeviceCategory,
    Maker,
    MobileModel,
    OsRoot,
    Os,
    Browser,
    BrowserMajor,
    Engine,
    One,
    ScreenFormat,
    ScreenColors,
    Orientation,
    OrientationName,
    Width,
    Height,
    Param(u8),
    Title,
    Url,
    IsPageView,
    Link,
    Params,
    Charset,
    NotBounce,
    Source(Model, Src),
    Blank(&'static str),
}

fn common(name: &str) -> Option<Field> {
    Some(match name {
        "counterID" => Field::CounterId,
        "clientID" => Field::ClientId,
        "counterUserIDHash" => Field::UserHash,
        "date" => Field::Date,
        "dateTime" => Field::DateTime,
        "goalsID" => Field::GoalsId,
        "referer" => Field::Referer,
        "browserLanguage" => Field::Language,
        "browserCountry" => Field::BrowserCountry,
        "clientTimeZone" => Field::TimeZone,
        "deviceCategory" => Field::DeviceCategory,
        "mobilePhone" => Field::Maker,
        "mobilePhoneModel" => Field::MobileModel,
        "operatingSystemRoot" => Field::OsRoot,
        "operatingSystem" => Field::Os,
        "browser" => Field::Browser,
        "browserMajorVersion" => Field::BrowserMajor,
        "browserEngine" => Field::Engine,
        "cookieEnabled" | "javascriptEnabled" => Field::One,
        "screenFormat" => Field::ScreenFormat,
        "screenColors" => Field::ScreenColors,
        "screenOrientation" => Field::Orientation,
        "screenOrientationName" => Field::OrientationName,
        "screenWidth" | "physicalScreenWidth" | "windowClientWidth" => Field::Width,
        "screenHeight" | "physicalScreenHeight" | "windowClientHeight" => Field::Height,
        "ipAddress" => Field::Ip,
        "regionCountry" => Field::Country,
        "regionCity" => Field::City,
        "regionCountryID" => Field::CountryId,
        "regionCityID" => Field::CityId,
        "browserMinorVersion"
        | "browserEngineVersion1"
        | "browserEngineVersion2"
        | "browserEngineVersion3"
        | "browserEngineVersion4" => Field::Blank("0"),
        "networkType" | "from" => Field::Blank(""),
        _ => {
            let n = name.strip_prefix("parsedParamsKey")?.parse::<u8>().ok()?;
            if !(1..=10).contains(&n) || name.ends_with(&format!("y0{n}")) {
                return None;
            }
            Field::Param(n)
        }
    })
}

fn source(name: &str) -> Option<Src> {
    Some(match name {
        "TrafficSource" => Src::TrafficSource,
        "AdvEngine" => Src::AdvEngine,
        "ReferalSource" => Src::ReferalSource,
        "SearchEngineRoot" => Src::SearchEngineRoot,
        "SearchEngine" => Src::SearchEngine,
        "SocialNetwork" => Src::SocialNetwork,
        "DirectClickOrder" => Src::DirectClickOrder,
        "DirectBannerGroup" => Src::DirectBannerGroup,
        "DirectClickBanner" => Src::DirectClickBanner,
        "DirectClickOrderName" => Src::DirectClickOrderName,
        "ClickBannerGroupName" => Src::ClickBannerGroupName,
        "DirectClickBannerName" => Src::DirectClickBannerName,
        "DirectPhraseOrCond" => Src::DirectPhraseOrCond,
        "DirectConditionType" => Src::DirectConditionType,
        "DirectPlatformType" => Src::DirectPlatformType,
        "CurrencyID" => Src::CurrencyId,
        "UTMCampaign" => Src::UtmCampaign,
        "UTMContent" => Src::UtmContent,
        "UTMMedium" => Src::UtmMedium,
        "UTMSource" => Src::UtmSource,
        "UTMTerm" => Src::UtmTerm,
        "hasGCLID" => Src::HasGclid,
        "GCLID" => Src::Gclid,
        "Messenger" => Src::Messenger,
        "SocialNetworkProfile"
        | "DirectPlatform"
        | "openstatAd"
        | "openstatCampaign"
        | "openstatService"
        | "openstatSource"
        | "RecommendationSystem" => Src::Text,
        _ => return None,
    })
}

/// Longest first: `last` begins several of them.
const MODELS: &[(&str, Model)] = &[
    ("cross_device_last_yandex_direct_click", Model::LastDirectClick),
    ("cross_device_last_significant", Model::CrossLastSign),
    ("last_yandex_direct_click", Model::LastDirectClick),
    ("cross_device_first", Model::CrossFirst),
    ("cross_device_last", Model::Own),
    ("lastSignificant", Model::LastSign),
    ("automatic", Model::CrossLastSign),
    ("lastsign", Model::LastSign),
    ("first", Model::First),
    ("last", Model::Own),
];

/// The model a request's `attribution` parameter names.
pub fn model(name: &str) -> Option<Model> {
    Some(match name {
        "FIRST" => Model::First,
        "LAST" | "CROSS_DEVICE_LAST" => Model::Own,
        "LASTSIGN" => Model::LastSign,
        "LAST_YANDEX_DIRECT_CLICK" | "CROSS_DEVICE_LAST_YANDEX_DIRECT_CLICK" => Model::LastDirectClick,
        "CROSS_DEVICE_FIRST" => Model::CrossFirst,
        "CROSS_DEVICE_LAST_SIGNIFICANT" | "AUTOMATIC" => Model::CrossLastSign,
        _ => return None,
    })
}

/// A field of `source=visits`, by its full name.
pub fn visit_field(name: &str, default: Model) -> Option<Field> {
    let name = name.strip_prefix("ym:s:")?;
    if let Some(f) = common(name) {
        return Some(f);
    }
    Some(match name {
        "visitID" => Field::Id,
        "watchIDs" => Field::WatchIds,
        "dateTimeUTC" => Field::DateTimeUtc,
        "isNewUser" => Field::IsNewUser,
        "startURL" => Field::StartUrl,
        "endURL" => Field::EndUrl,
        "pageViews" => Field::PageViews,
        "visitDuration" => Field::Duration,
        "bounce" => Field::Bounce,
        "goalsSerialNumber" => Field::GoalsSerial,
        "goalsDateTime" => Field::GoalsDateTime,
        "goalsPrice" => Field::GoalsPrice,
        "goalsOrder" | "goalsCurrency" => Field::GoalsText,
        _ => {
            for (prefix, model) in MODELS {
                if let Some(f) = name.strip_prefix(prefix).and_then(source) {
                    return Some(Field::Source(*model, f));
                }
            }
            if let Some(f) = source(name) {
                return Some(Field::Source(default, f));
            }
            return is_array(name).then_some(Field::Blank("[]"));
        }
    })
}

/// Arrays of e-commerce and calls, which this company does not use: always `[]`.
fn is_array(name: &str) -> bool {
    const PRODUCT: &[&str] = &[
        "ID",
        "List",
        "Brand",
        "Category",
        "Category1",
        "Category2",
        "Category3",
        "Category4",
        "Category5",
        "Variant",
        "Position",
        "Price",
        "Currency",
        "Coupon",
        "Quantity",
        "EventTime",
        "Type",
        "Discount",
        "Name",
        "PurchaseID",
    ];
    const GROUPS: &[(&str, &[&str])] = &[
        (
            "purchase",
            &[
                "ID",
                "DateTime",
                "Affiliation",
                "Revenue",
                "Tax",
                "Shipping",
                "Coupon",
                "Currency",
                "ProductQuantity",
            ],
        ),
        ("eventsProduct", PRODUCT),
        ("products", PRODUCT),
        ("purchasedProduct", PRODUCT),
        ("product", PRODUCT),
        ("impressionsProduct", PRODUCT),
        ("impressions", &["URL", "DateTime"]),
        ("promotion", &["ID", "Name", "Creative", "Position", "CreativeSlot", "EventTime", "Type"]),
        ("offlineCall", &["TalkDuration", "HoldDuration", "Missed", "Tag", "FirstTimeCaller", "URL"]),
    ];
    GROUPS.iter().any(|(p, ends)| name.strip_prefix(p).is_some_and(|e| ends.contains(&e)))
}

/// A field of `source=hits`.
pub fn hit_field(name: &str) -> Option<Field> {
    let name = name.strip_prefix("ym:pv:")?;
    if let Some(f) = common(name) {
        return Some(f);
    }
    Some(match name {
        "watchID" => Field::Id,
        "visitID" => Field::VisitId,
        "pageViewID" => Field::PageViewId,
        "title" => Field::Title,
        "URL" => Field::Url,
        "isPageView" => Field::IsPageView,
        "link" => Field::Link,
        "params" => Field::Params,
        "pageCharset" => Field::Charset,
        "notBounce" => Field::NotBounce,
        "UTMCampaign" | "UTMContent" | "UTMMedium" | "UTMSource" | "UTMTerm" | "hasGCLID" | "GCLID" => {
            Field::Source(Model::Own, source(name)?)
        }
        "lastTrafficSource"
        | "lastSearchEngineRoot"
        | "lastSearchEngine"
        | "lastAdvEngine"
        | "lastSocialNetwork"
        | "lastSocialNetworkProfile" => Field::Source(Model::Own, source(name.strip_prefix("last")?)?),
        "messenger" => Field::Source(Model::Own, Src::Messenger),
        "recommendationSystem" => Field::Source(Model::Own, Src::Text),
        "openstatAd" | "openstatCampaign" | "openstatService" | "openstatSource" | "ecommerce"
        | "httpError" | "shareService" | "shareURL" | "shareTitle" => Field::Blank(""),
        "download" | "artificial" | "iFrame" | "isTurboPage" | "isTurboApp" => Field::Blank("0"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(visit_field("ym:s:visitID", Model::Own), Some(Field::Id));
        assert_eq!(
            visit_field("ym:s:cross_device_last_significantUTMSource", Model::Own),
            Some(Field::Source(Model::CrossLastSign, Src::UtmSource))
        );
        assert_eq!(
            visit_field("ym:s:lastsignTrafficSource", Model::Own),
            Some(Field::Source(Model::LastSign, Src::TrafficSource))
        );
        assert_eq!(
            visit_field("ym:s:UTMTerm", Model::First),
            Some(Field::Source(Model::First, Src::UtmTerm))
        );
        assert_eq!(visit_field("ym:s:parsedParamsKey10", Model::Own), Some(Field::Param(10)));
        assert_eq!(visit_field("ym:s:parsedParamsKey11", Model::Own), None);
        assert_eq!(visit_field("ym:s:nonsense", Model::Own), None);
        assert_eq!(visit_field("ym:pv:watchID", Model::Own), None);
        assert_eq!(hit_field("ym:s:visitID"), None);
        assert_eq!(hit_field("ym:pv:lastTrafficSource"), Some(Field::Source(Model::Own, Src::TrafficSource)));
    }
}
