//! docs/tables.md, written from the specifications themselves.

use std::fmt::Write as _;

use throughline_core::ColumnType;
use throughline_core::canonical::TABLES;

use crate::tables::output_tables;

/// The whole of docs/tables.md.
pub fn tables_markdown() -> String {
    let mut out = String::from(
        "# Tables\n\n\
         This page is generated from the code: `UPDATE_EXPECT=1 cargo test -p throughline-attribution tables_page`\n\
         writes it anew.\n\n\
         Instants are UTC with microseconds, days are UTC days, money columns are decimals in the reporting\n\
         currency unless their name ends in `_minor` (whole minor units of the row's own currency).\n\n\
         ## Output tables\n\n\
         What attribution makes and sinks publish. Any column may be null where its text does not say otherwise;\n\
         key columns are not.\n",
    );
    for table in output_tables() {
        let _ = write!(out, "\n### {}\n\n{}\n\nKey: {}.", table.name, table.doc, key_text(table.key));
        if let Some(column) = table.partition_by {
            let _ = write!(out, " Partitioned by `{column}`.");
        }
        out.push_str("\n\n| column | type | |\n| --- | --- | --- |\n");
        for column in table.columns {
            let _ = writeln!(out, "| `{}` | {} | {} |", column.name, column.kind.name(), cell(column.doc));
        }
    }
    out.push_str(
        "\n## Canonical tables\n\n\
         What every source's records become before anything is computed. A mapping fills them by column name;\n\
         `[[transform]]` and the `file` connector can fill or replace them.\n",
    );
    for table in TABLES {
        let _ = write!(out, "\n### {}\n\n{}\n\nKey: {}.", table.name, table.doc, key_text(table.key));
        out.push_str("\n\n| column | type | required | |\n| --- | --- | --- | --- |\n");
        for column in table.columns {
            let required = if column.required { "yes" } else { "" };
            let _ = writeln!(
                out,
                "| `{}` | {} | {required} | {} |",
                column.name,
                canonical_type(column.kind),
                cell(column.doc)
            );
        }
    }
    out
}

fn key_text(key: &[&str]) -> String {
    match key {
        [] => "none, every row counts".to_string(),
        names => names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn canonical_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "text",
        ColumnType::Int => "integer",
        ColumnType::Uint => "unsigned integer",
        ColumnType::Decimal => "decimal(38,9)",
        ColumnType::Float => "float",
        ColumnType::Bool => "boolean",
        ColumnType::Instant => "instant (UTC, µs)",
        ColumnType::Date => "date (UTC)",
        ColumnType::Json => "JSON text",
        ColumnType::TextList => "list of text",
    }
}
