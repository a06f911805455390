//! Bitrix24: a manifest and SELECTs, no code.
#![doc = include_str!("README.md")]

use crate::manifest::{Builtin, ManifestConnector};

const FOLDER: Builtin = Builtin {
    path: "connectors/src/bitrix24/manifest.toml",
    manifest: include_str!("manifest.toml"),
    files: &[
        ("mapping/deals.sql", include_str!("mapping/deals.sql")),
        ("mapping/deal_contacts.sql", include_str!("mapping/deal_contacts.sql")),
        ("mapping/deal_events.sql", include_str!("mapping/deal_events.sql")),
        ("mapping/contacts.sql", include_str!("mapping/contacts.sql")),
        ("mapping/identity_edges.sql", include_str!("mapping/identity_edges.sql")),
        ("mapping/operators.sql", include_str!("mapping/operators.sql")),
    ],
    readme: include_str!("README.md"),
};

pub fn connector() -> ManifestConnector {
    ManifestConnector::new("bitrix24", &FOLDER)
}
