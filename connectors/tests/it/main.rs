//! Tests of connectors through their public face: a fixture server on loopback, the real HTTP client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod airbyte;
mod amocrm;
mod amocrm_mapping;
mod amocrm_samples;
mod behaviour;
mod behaviour_programs;
mod bitrix24;
mod bitrix24_mapping;
mod comagic;
mod comagic_data;
mod consent;
mod crm_tables;
mod direct;
mod direct_company;
mod discovery;
mod file;
mod fixture;
mod fuzz;
mod ga4;
mod ga4_bigquery;
mod harness;
mod hubspot;
mod hubspot_mapping;
mod manifest_batches;
mod manifest_files;
mod manifest_paging;
mod manifest_rules;
mod metrica;
mod oauth;
mod programs;
mod salesforce;
mod salesforce_mapping;
mod salesforce_org;
mod salesforce_samples;
mod samples;
mod singer;
mod sql;
mod support;
mod telegram;
mod telegram_export;
mod vk;

mod webhooks;
mod whatsapp;
mod whatsapp_export;
