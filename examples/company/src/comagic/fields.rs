//! What each report has: its fields, what it can be ordered by, how long a window may be.

use chrono::{NaiveDateTime, TimeZone};

use crate::company::Company;
use crate::text::push_datetime;

const CHATS: &[&str] = &[
    "id",
    "status",
    "initiator",
    "date_time",
    "duration",
    "answer_time",
    "communication_number",
    "communication_page_url",
    "communication_id",
    "communication_type",
    "chat_ad_url",
    "chat_channel_id",
    "chat_channel_type",
    "chat_channel_name",
    "chat_user_id",
    "chat_username",
    "messages_count",
    "ua_client_id",
    "ym_client_id",
    "sale_date",
    "sale_cost",
    "is_group_chat",
    "is_transfer",
    "release_cause",
    "search_query",
    "search_engine",
    "referrer_domain",
    "referrer",
    "entrance_page",
    "gclid",
    "yclid",
    "ymclid",
    "ef_id",
    "channel",
    "employee_id",
    "employee_full_name",
    "employee_raiting",
    "employee_messages_count",
    "tags",
    "site_id",
    "site_domain_name",
    "campaign_id",
    "campaign_name",
    "visit_other_campaign",
    "visitor_phone_number",
    "visitor_id",
    "visitor_ids",
    "person_id",
    "visitor_type",
    "visitor_session_id",
    "visits_count",
    "visitor_first_campaign_id",
    "visitor_first_campaign_name",
    "visitor_city",
    "visitor_region",
    "visitor_country",
    "visitor_device",
    "visitor_custom_properties",
    "segments",
    "utm_source",
    "utm_medium",
    "utm_term",
    "utm_content",
    "utm_campaign",
    "openstat_ad",
    "openstat_campaign",
    "openstat_service",
    "openstat_source",
    "attributes",
    "eq_utm_source",
    "eq_utm_medium",
    "eq_utm_term",
    "eq_utm_content",
    "eq_utm_campaign",
    "eq_utm_referrer",
    "eq_utm_expid",
    "source_id",
    "source_name",
    "source_new",
    "channel_new",
    "channel_code",
    "ext_id",
];

const MESSAGES: &[&str] = &[
    "id",
    "chat_id",
    "channel_id",
    "channel_type",
    "date_time",
    "is_group_chat",
    "visitor_id",
    "text",
    "source",
    "resource",
    "employee_id",
    "employee_full_name",
];

const SESSIONS: &[&str] = &[
    "date_time",
    "id",
    "ua_client_id",
    "ym_client_id",
    "gclid",
    "yclid",
    "ef_id",
    "ymclid",
    "cm_id",
    "integrated_campaign_data",
    "referrer_domain",
    "referrer",
    "search_engine",
    "search_query",
    "entrance_page",
    "exit_page",
    "duration",
    "channel",
    "engine",
    "campaign_id",
    "campaign_name",
    "site_id",
    "site_domain_name",
    "person_id",
    "visitor_id",
    "visitor_device",
    "visitor_country",
    "visitor_city",
    "visitor_region",
    "visitor_ip_address",
    "visitor_type",
    "visitor_browser_name",
    "visitor_browser_version",
    "visitor_os_name",
    "visitor_os_version",
    "visitor_provider",
    "visitor_screen",
    "visitor_language",
    "visitor_custom_properties",
    "utm_source",
    "utm_medium",
    "utm_term",
    "utm_content",
    "utm_campaign",
    "openstat_ad",
    "openstat_campaign",
    "openstat_service",
    "openstat_source",
    "hits_count",
    "hits",
    "segments",
    "communications",
    "ext_id",
    "source_id",
    "source_name",
    "source_new",
    "channel_new",
    "channel_code",
];

const CHANNELS: &[&str] = &[
    "id",
    "name",
    "type",
    "status",
    "group_id",
    "group_name",
    "employee_id",
    "employee_full_name",
    "channel_external_id",
];

const EMPLOYEES: &[&str] = &[
    "id",
    "login",
    "first_name",
    "last_name",
    "patronymic",
    "full_name",
    "status",
    "status_id",
    "email",
    "groups",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    Chats,
    Messages,
    Sessions,
    Channels,
    Employees,
}

impl Report {
    pub fn of(method: &str) -> Option<Report> {
        Some(match method {
            "get.chats_report" => Report::Chats,
            "get.chat_messages_report" => Report::Messages,
            "get.visitor_sessions_report" => Report::Sessions,
            "get.chat_channels" => Report::Channels,
            "get.employees" => Report::Employees,
            _ => return None,
        })
    }

    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Report::Chats => CHATS,
            Report::Messages => MESSAGES,
            Report::Sessions => SESSIONS,
            Report::Channels => CHANNELS,
            Report::Employees => EMPLOYEES,
        }
    }

    /// Only what the documentation says so of.
    pub fn sortable(self) -> &'static [&'static str] {
        match self {
            Report::Chats => &["date_time", "status", "duration", "answer_time", "employee_id", "visitor_id"],
            Report::Messages => &["date_time", "channel_type", "employee_id"],
            Report::Sessions => &["campaign_id", "site_id", "visitor_id", "visitor_device"],
            Report::Channels => &["name"],
            Report::Employees => &["login", "first_name", "last_name", "full_name"],
        }
    }

    /// 0: without a window.
    pub fn longest_days(self) -> i64 {
        match self {
            // Three months: the shortest there are.
            Report::Chats | Report::Sessions => 89,
            Report::Messages => 30,
            Report::Channels | Report::Employees => 0,
        }
    }
}

/// `YYYY-MM-DD hh:mm:ss` in the studio's zone.
pub fn local(company: &Company, at: i64) -> String {
    let mut out = String::new();
    push_datetime(&mut out, at + company.cfg.offset(at), ' ');
    out
}

/// The other way round; the first of two where a clock is put back.
pub fn instant(company: &Company, text: &str) -> Option<i64> {
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    company.cfg.zone.from_local_datetime(&naive).earliest().map(|at| at.timestamp())
}
