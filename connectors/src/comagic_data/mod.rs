//! CoMagic and UIS, the Data API: a manifest and SELECTs, no code.
#![doc = include_str!("README.md")]

use crate::manifest::{Builtin, ManifestConnector};

const FOLDER: Builtin = Builtin {
    path: "connectors/src/comagic_data/manifest.toml",
    manifest: include_str!("manifest.toml"),
    files: &[
        ("mapping/messages.sql", include_str!("mapping/messages.sql")),
        ("mapping/ratings.sql", include_str!("mapping/ratings.sql")),
        ("mapping/visits.sql", include_str!("mapping/visits.sql")),
        ("mapping/identity_edges.sql", include_str!("mapping/identity_edges.sql")),
        ("mapping/visit_edges.sql", include_str!("mapping/visit_edges.sql")),
        ("mapping/operators.sql", include_str!("mapping/operators.sql")),
    ],
    readme: include_str!("README.md"),
};

pub fn connector() -> ManifestConnector {
    ManifestConnector::new("comagic_data", &FOLDER)
}
