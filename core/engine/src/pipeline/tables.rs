//! The tables SQL of a pipeline file can name without having made them.

use throughline_core::canonical;

/// Tables attribution makes.
pub fn outputs() -> impl Iterator<Item = &'static str> {
    throughline_attribution::output_tables().iter().map(|t| t.name)
}

pub fn is_output(name: &str) -> bool {
    outputs().any(|o| o == name)
}

pub fn is_canonical(name: &str) -> bool {
    canonical::table(name).is_some()
}

/// `in_deals`: what attribution read, for SQL that runs behind it.
pub fn is_input(name: &str) -> bool {
    name.strip_prefix("in_").is_some_and(is_canonical)
}

pub fn canonical_names() -> impl Iterator<Item = &'static str> {
    canonical::TABLES.iter().map(|t| t.name)
}
