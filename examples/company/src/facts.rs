//! What a client needs to know to use a company that runs: addresses, keys, names.

use serde_json::{Value, json};

use crate::server::Running;
use crate::text::rfc3339;
use crate::words::Lang;
use crate::{amocrm, bitrix24, comagic, direct, ga4, hubspot, metrika, salesforce, telegram, vk, whatsapp};

impl Running {
    /// What a client needs to know to use the company.
    pub fn facts(&self) -> Value {
        let (access, refresh) = self.server.auth.current();
        let s = &self.server;
        json!({
            "url": self.url(),
            "now": rfc3339(s.now()),
            "seed": s.company.cfg.seed,
            "visits": s.company.cfg.visits,
            "out": s.options.out.as_ref().map(|p| p.display().to_string()),
            "amocrm": {
                "base_url": self.url(),
                "client_id": amocrm::auth::CLIENT_ID,
                "client_secret": amocrm::auth::CLIENT_SECRET,
                "redirect_uri": amocrm::auth::REDIRECT_URI,
                "authorization_code": amocrm::auth::CODE,
                "access_token": access,
                "refresh_token": refresh,
                "long_lived_token": amocrm::auth::LONG_LIVED,
            },
            "metrika": {
                "base_url": self.url(),
                "token": metrika::requests::TOKEN,
                "counter_id": s.company.cfg.counter_id,
                "time_zone": s.company.cfg.zone.name(),
                "token_param": s.company.cfg.token_param,
            },
            "hubspot": {
                "base_url": self.url(),
                "hub_id": hubspot::HUB_ID.to_string(),
                "token": hubspot::auth::PRIVATE_TOKEN,
                "client_id": hubspot::auth::CLIENT_ID,
                "client_secret": hubspot::auth::CLIENT_SECRET,
                "redirect_uri": hubspot::auth::REDIRECT_URI,
                "authorization_code": hubspot::auth::CODE,
                "refresh_token": hubspot::auth::REFRESH_TOKEN,
            },
            "bitrix24": {
                "base_url": self.url(),
                "portal": bitrix24::PORTAL,
                "webhook": bitrix24::auth::webhook(&self.url()),
                "client_id": bitrix24::auth::CLIENT_ID,
                "client_secret": bitrix24::auth::CLIENT_SECRET,
                "authorization_code": bitrix24::auth::CODE,
            },
            "direct": {
                "base_url": self.url(),
                "token": direct::TOKEN,
                "login": direct::LOGIN,
            },
            "telegram": {
                "base_url": self.url(),
                "token": telegram::TOKEN,
            },
            "vk": {
                "base_url": self.url(),
                "token": vk::TOKEN,
                "group_id": vk::GROUP_ID,
            },
            "comagic": {
                "base_url": self.url(),
                "access_token": comagic::TOKEN,
            },
            "google": {
                "base_url": self.url(),
                "token_url": format!("{}/token", self.url()),
                "client_id": ga4::auth::CLIENT_ID,
                "client_secret": ga4::auth::CLIENT_SECRET,
                "refresh_token": ga4::auth::REFRESH_TOKEN,
                "property": ga4::PROPERTY,
                "project": ga4::bigquery::PROJECT,
                "dataset": ga4::bigquery::DATASET,
            },
            "salesforce": {
                "login_url": self.url(),
                "org_id": salesforce::auth::org(),
                "client_id": salesforce::auth::CLIENT_ID,
                "client_secret": salesforce::auth::CLIENT_SECRET,
                "refresh_token": salesforce::auth::REFRESH_TOKEN,
                "username": salesforce::auth::USERNAME,
            },
            "whatsapp": {
                "app_secret": whatsapp::APP_SECRET,
                "numbers": [whatsapp::line(Lang::Ru).0, whatsapp::line(Lang::En).0],
            },
        })
    }
}
