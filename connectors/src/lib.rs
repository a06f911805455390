//! Sources: one folder per vendor.
//!
//! Most vendors are a manifest and a few SELECTs; the runtime that reads them is [`manifest`]. What
//! every one of them shares, from bytes to columns, is [`records`].

pub mod airbyte;
pub mod amocrm;
pub mod bitrix24;
mod checks;
pub mod comagic_data;
mod days;
pub mod file;
mod flow;
pub mod foreign;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod fuzz;
pub mod ga4;
pub mod ga4_bigquery;
mod google;
pub mod hubspot;
mod jwt;
mod lines;
mod local;
pub mod manifest;
pub mod records;
pub mod salesforce;
pub mod singer;
mod slices;
pub mod sql;
pub mod telegram;
pub mod telegram_export;
mod tsv;
pub mod vk;
mod webhook;
pub mod whatsapp;
pub mod whatsapp_export;
mod yandex;
pub mod yandex_direct;
pub mod yandex_metrica;

/// Every built-in source. Explicit: a connector is here or it does not exist.
pub fn all() -> Vec<Box<dyn throughline_core::SourceConnector>> {
    let mut all: Vec<Box<dyn throughline_core::SourceConnector>> = vec![
        Box::new(amocrm::connector()),
        Box::new(bitrix24::connector()),
        Box::new(comagic_data::connector()),
        Box::new(hubspot::connector()),
        Box::new(ga4::Ga4Connector),
        Box::new(ga4_bigquery::Ga4BigqueryConnector),
        Box::new(salesforce::SalesforceConnector),
        Box::new(manifest::rest::Rest),
        Box::new(file::FileConnector),
        Box::new(singer::SingerConnector),
        Box::new(airbyte::AirbyteConnector),
        Box::new(sql::SqlConnector),
        Box::new(telegram::TelegramConnector),
        Box::new(telegram_export::TelegramExportConnector),
        Box::new(vk::VkConnector),
        Box::new(whatsapp::WhatsappConnector),
        Box::new(whatsapp_export::WhatsappExportConnector),
        Box::new(yandex_direct::YandexDirectConnector),
        Box::new(yandex_metrica::YandexMetricaConnector),
    ];
    all.extend(webhook::VENDORS.iter().map(|vendor| {
        let connector: Box<dyn throughline_core::SourceConnector> =
            Box::new(webhook::WebhookConnector(vendor));
        connector
    }));
    all
}

/// Accounts that sinks may ask as well: the same address, credentials and limits as the source's.
pub fn connections() -> Vec<Box<dyn throughline_core::ConnectionKind>> {
    vec![Box::new(amocrm::connector()), Box::new(bitrix24::connector()), Box::new(hubspot::connector())]
}
