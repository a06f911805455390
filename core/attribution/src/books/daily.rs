//! The books of the daily tables: every slice of a fact, `(none)` included, sums to the fact.

/// Sums as in [`super::COUNTED`].
pub(super) const COUNTED: &[(&str, &str)] = &[
    ("sales", "count(*) FROM conversions WHERE type = 'won'"),
    ("turns", "count(*) FROM x_response"),
    ("sent", "count(*) FROM messages WHERE direction = 'out' AND NOT is_event AND sender_kind <> 'system'"),
    (
        "delivered",
        "count(delivered_at) FROM messages WHERE direction = 'out' AND NOT is_event AND sender_kind <> 'system'",
    ),
    (
        "consents_in",
        "(SELECT count(*) FROM c_consents) + (SELECT count(*) FROM x_message WHERE counts = 1 \
         AND (is_unsubscribe = 1 OR is_subscribe = 1)) FROM (SELECT 1 AS one) AS o",
    ),
    ("inquirers", "count(DISTINCT person_id) FROM inquiries"),
    ("walks", "count(*) FROM x_walk"),
    (
        "tested",
        "count(*) FROM (SELECT coalesce(ab_test, template_id, '(none)') AS test, ab_variant, platform, \
         coalesce(user_value, conversation_id) AS u FROM x_message WHERE direction = 'out' AND counts = 1 \
         AND ab_variant IS NOT NULL AND failed_us IS NULL \
         GROUP BY coalesce(ab_test, template_id, '(none)'), ab_variant, platform, coalesce(user_value, conversation_id)) AS t",
    ),
    ("goods", "coalesce(sum(goods_minor), 0) FROM x_extra"),
    ("potential", "coalesce(sum(potential_minor), 0) FROM x_extra"),
];

/// Sums as in [`super::SUMS`].
pub(super) const SUMS: &[(&str, &str)] = &[
    ("visits_by_page", "coalesce(sum(visits), 0) FROM page_daily"),
    ("visits_by_device", "coalesce(sum(visits), 0) FROM device_daily"),
    ("visits_by_region", "coalesce(sum(visits), 0) FROM region_daily"),
    ("inquiries_by_page", "coalesce(sum(inquiries), 0) FROM page_daily"),
    ("inquiries_by_device", "coalesce(sum(inquiries), 0) FROM device_daily"),
    ("inquiries_by_region", "coalesce(sum(inquiries), 0) FROM region_daily"),
    ("inquiries_by_operator", "coalesce(sum(inquiries), 0) FROM operator_daily"),
    ("net_by_operator", "coalesce(CAST(round(sum(net) * $unit) AS BIGINT), 0) FROM operator_daily"),
    ("sales_by_operator", "coalesce(sum(sales), 0) FROM operator_daily"),
    ("turns_by_messenger", "coalesce(sum(turns), 0) FROM messenger_daily"),
    ("sent_by_messenger", "coalesce(sum(sent), 0) FROM messenger_daily"),
    ("delivered_by_messenger", "coalesce(sum(delivered), 0) FROM messenger_daily"),
    ("consents", "count(*) FROM consents"),
    ("cohorts", "coalesce(sum(persons), 0) FROM cohort_retention WHERE age = 0"),
    ("cohorts_returned", "coalesce(sum(returned), 0) FROM cohort_retention WHERE age = 0"),
    ("walks_by_step", "coalesce(sum(passed) + sum(dropped), 0) FROM funnel_steps"),
    ("tested_by_variant", "coalesce(sum(recipients), 0) FROM ab_results"),
    ("rows_of_visits", "coalesce(sum(\"rows\"), 0) FROM data_quality_daily WHERE source = 'visits'"),
    ("rows_of_messages", "coalesce(sum(\"rows\"), 0) FROM data_quality_daily WHERE source LIKE 'messages:%'"),
    (
        "rows_of_inquiries",
        "coalesce(sum(\"rows\"), 0) FROM data_quality_daily WHERE source LIKE 'inquiries:%'",
    ),
    (
        "methods",
        "coalesce(sum(token) + sum(deeplink) + sum(ad_referral) + sum(identity) + sum(time_window) + sum(\"none\"), 0) \
         FROM data_quality_daily",
    ),
    ("cost_rows", "count(*) FROM c_costs"),
    ("rows_of_costs", "coalesce(sum(\"rows\"), 0) FROM data_quality_daily WHERE source LIKE 'costs:%'"),
    (
        "unmatched",
        "coalesce(CAST(round(sum(CASE WHEN joined_level = 'none' THEN cost ELSE 0 END) * $unit) AS BIGINT), 0) FROM costs",
    ),
    (
        "unmatched_by_day",
        "coalesce(CAST(round(sum(unmatched_cost) * $unit) AS BIGINT), 0) FROM data_quality_daily",
    ),
    ("impressions", "coalesce(sum(impressions), 0) FROM costs"),
    ("clicks_alone", "coalesce(sum(clicks), 0) FROM costs"),
];

/// Pairs as in [`super::PAIRS`].
pub(super) const PAIRS: &[(&str, &str, &str, &str)] = &[
    ("visits_by_page", "visits", "visits_by_page", "visits in all and over all pages"),
    ("visits_by_device", "visits", "visits_by_device", "visits in all and over all devices"),
    ("visits_by_region", "visits", "visits_by_region", "visits in all and over all regions"),
    ("inquiries_by_page", "inquiries", "inquiries_by_page", "inquiries in all and over all pages"),
    ("inquiries_by_device", "inquiries", "inquiries_by_device", "inquiries in all and over all devices"),
    ("inquiries_by_region", "inquiries", "inquiries_by_region", "inquiries in all and over all regions"),
    (
        "inquiries_by_operator",
        "inquiries",
        "inquiries_by_operator",
        "inquiries in all and over all operators",
    ),
    ("net_by_operator", "net", "net_by_operator", "net of conversions and over all operators"),
    ("sales_by_operator", "sales", "sales_by_operator", "won conversions and over all operators"),
    ("turns_by_messenger", "turns", "turns_by_messenger", "turns in all and over all messengers and numbers"),
    (
        "sent_by_messenger",
        "sent",
        "sent_by_messenger",
        "outgoing messages and over all messengers and numbers",
    ),
    (
        "delivered_by_messenger",
        "delivered",
        "delivered_by_messenger",
        "delivered messages and over all messengers",
    ),
    ("consents", "consents_in", "consents", "opt-ins and opt-outs reported or written, and published"),
    ("cohorts", "inquirers", "cohorts", "persons who inquired, and over all cohorts"),
    ("cohorts_returned", "cohorts", "cohorts_returned", "persons of a cohort inquire in its own period"),
    ("walks", "walks", "walks_by_step", "walks through steps, and passed or dropped"),
    ("tested", "tested", "tested_by_variant", "people messages of tests were sent to, and over all variants"),
    ("rows_of_visits", "visits", "rows_of_visits", "visits and data_quality_daily"),
    ("rows_of_messages", "messages", "rows_of_messages", "messages and data_quality_daily"),
    ("rows_of_inquiries", "inquiries", "rows_of_inquiries", "inquiries and data_quality_daily"),
    ("rows_of_costs", "cost_rows", "rows_of_costs", "cost rows and data_quality_daily"),
    ("methods", "inquiries", "methods", "inquiries in all and by the way they were matched"),
    ("unmatched_cost", "unmatched", "unmatched_by_day", "cost no touch answers to, and data_quality_daily"),
];

/// Sums per model over a table of income; `$table` stands for it.
pub(super) const INCOME: &str = "SELECT model, sum(visits) AS visits, sum(inquiries) AS inquiries, \
     sum(new_inquiries) + sum(repeat_inquiries) AS new_and_repeat, \
     CAST(round(sum(gross) * $unit) AS BIGINT) AS gross, CAST(round(sum(net) * $unit) AS BIGINT) AS net, \
     CAST(round(sum(cost) * $unit) AS BIGINT) AS cost, CAST(round(sum(goods_cost) * $unit) AS BIGINT) AS goods, \
     CAST(round(sum(potential) * $unit) AS BIGINT) AS potential, sum(impressions) AS impressions, sum(clicks) AS clicks \
     FROM $table GROUP BY model";

/// Columns of [`INCOME`], the sum of [`SUMS`] each must agree with, and what that compares.
pub(super) const INCOME_PAIRS: &[(&str, &str, &str)] = &[
    ("visits", "visit_kind", "visits"),
    ("inquiries", "inquiries", "inquiries, (none) included,"),
    ("new_and_repeat", "inquiries", "inquiries, and new and repeat ones"),
    ("gross", "gross", "gross of conversions"),
    ("net", "net", "net of conversions"),
    ("cost", "cost", "cost"),
    ("goods", "goods", "cost of goods"),
    ("potential", "potential", "value of open deals"),
    ("impressions", "impressions", "impressions"),
    ("clicks", "clicks_alone", "clicks"),
];
