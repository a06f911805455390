//! The SELECTs of a manifest.

use super::{Compiler, MappingPlan, ReadFile};
use crate::manifest::spec::{Manifest, OptionType};

impl Compiler<'_> {
    pub(super) fn mapping(
        &mut self,
        manifest: &Manifest,
        index: usize,
        folder: &str,
        read: ReadFile<'_>,
    ) -> Option<MappingPlan> {
        let spec = manifest.mappings.get(index)?;
        let at = format!("/mappings/{index}");
        let tables: Vec<&str> = throughline_core::canonical::TABLES.iter().map(|t| t.name).collect();
        self.p.known(&format!("{at}/into"), "canonical table", &spec.into, &tables);
        let names: Vec<&str> = manifest.streams.iter().map(|s| s.name.as_str()).collect();
        for (i, from) in spec.from.iter().enumerate() {
            self.p.known(&format!("{at}/from/{i}"), "stream", from, &names);
        }
        if spec.from.is_empty() {
            self.p.add(format!("{at}/from"), "name the streams the SELECT reads");
        }
        let sql = self.p.take(&format!("{at}/sql"), read(&spec.sql))?;
        let params = dollar_names(&sql);
        let values: Vec<&String> = manifest
            .options
            .iter()
            .filter(|(_, o)| o.kind != OptionType::Secret)
            .map(|(name, _)| name)
            .chain(manifest.params.keys())
            .collect();
        for name in &params {
            self.p.known(&format!("{at}/sql"), "option or param for the placeholder", name, &values);
        }
        Some(MappingPlan {
            into: spec.into.clone(),
            from: spec.from.clone(),
            sql,
            origin: format!("{folder}{}", spec.sql),
            params,
        })
    }
}

/// `$name`s of a SELECT, outside of texts and comments, each once.
fn dollar_names(sql: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = sql;
    while let Some(at) = rest.find(['\'', '"', '$', '-', '/']) {
        let (mark, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match mark {
            b'\'' | b'"' => behind.split_once(char::from(mark)).map_or("", |(_, r)| r),
            b'-' if behind.starts_with('-') => behind.split_once('\n').map_or("", |(_, r)| r),
            b'/' if behind.starts_with('*') => behind.split_once("*/").map_or("", |(_, r)| r),
            b'$' => {
                let end =
                    behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
                let name = &behind[..end];
                if !name.is_empty() && !names.iter().any(|n| n == name) {
                    names.push(name.to_owned());
                }
                &behind[end..]
            }
            _ => behind,
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::dollar_names;

    #[test]
    fn names_in_sql() {
        let sql = "-- $no\nSELECT '$no', \"$no\", $a, json_text(x, $b_1) /* $no */ - 1, $a";
        assert_eq!(dollar_names(sql), ["a", "b_1"]);
    }
}
