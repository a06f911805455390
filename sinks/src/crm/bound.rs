//! The pipeline's names for fields and the CRM's own, brought together; and what is new in a deal.

use throughline_core::{Error, ErrorKind, Result};

use super::field::{CrmField, Fitted, Kind};
use super::options::{Mapped, Settings};
use super::state::Staged;
use super::vendor::{Line, Values, Vendor};

/// A field that is mapped and that the CRM has.
pub(super) struct Bound {
    pub name: String,
    pub cut: bool,
    pub field: CrmField,
}

pub(super) fn find<'a>(fields: &'a [CrmField], name: &str) -> Option<&'a CrmField> {
    let exactly = fields.iter().find(|f| f.names.iter().any(|n| n == name));
    exactly.or_else(|| fields.iter().find(|f| f.names.iter().any(|n| n.eq_ignore_ascii_case(name))))
}

/// # Errors
/// Kind `Config` when the CRM lacks a field or has one that is not written.
pub(super) async fn bind(vendor: &dyn Vendor, line: &Line<'_>, settings: &Settings) -> Result<Vec<Bound>> {
    let fields = vendor.fields(line).await?;
    let of = |mapped: &Mapped| -> Result<Bound> {
        let Some(field) = find(&fields, &mapped.field) else {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{} has no field {} of deals", line.connection.account()?, mapped.field),
            )
            .hint("`throughline sink setup` makes what is missing"));
        };
        if let Kind::Other(word) = &field.kind {
            return Err(Error::new(
                ErrorKind::Config,
                format!("the field {} ({}) is of type {word}", mapped.field, field.label),
            )
            .hint("texts, numbers and choices of one option are written"));
        }
        Ok(Bound { name: mapped.field.clone(), cut: mapped.cut, field: field.clone() })
    };
    let bound: Vec<Bound> = settings.fields.iter().map(of).collect::<Result<_>>()?;
    for (n, one) in bound.iter().enumerate() {
        if let Some(other) = bound[..n].iter().find(|other| other.field.key == one.field.key) {
            let message = format!("{} and {} are one field of the CRM", other.name, one.name);
            return Err(Error::new(ErrorKind::Config, message).hint("map it once"));
        }
    }
    Ok(bound)
}

/// A field whose value is another than what is to stand there.
pub(super) struct Fresh<'a> {
    pub field: &'a CrmField,
    pub before: Option<String>,
    pub after: Option<String>,
}

pub(super) struct Weighed<'a> {
    pub fresh: Vec<Fresh<'a>>,
    pub cut: u64,
}

/// What would change in a deal, or why it cannot be written.
pub(super) fn weigh<'a>(
    bound: &'a [Bound],
    staged: &Staged,
    current: Option<&Values>,
) -> std::result::Result<Weighed<'a>, String> {
    let current = current.ok_or("the CRM has no such deal any more, or does not show it")?;
    let mut weighed = Weighed { fresh: Vec::new(), cut: 0 };
    for (name, value) in &staged.values {
        let bound = bound.iter().find(|b| b.name == *name);
        let bound = bound.ok_or_else(|| format!("the pipeline no longer maps the field {name}"))?;
        let field = &bound.field;
        let after = match value {
            None => None,
            Some(value) => match field.fit(value, bound.cut) {
                Fitted::As(value) => Some(value),
                Fitted::Cut(value) => {
                    weighed.cut += 1;
                    Some(value)
                }
                Fitted::Not(why) => return Err(why),
            },
        };
        let before = current.get(&field.key).and_then(|value| field.read(value));
        if before != after {
            weighed.fresh.push(Fresh { field, before, after });
        }
    }
    Ok(weighed)
}
