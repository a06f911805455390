//! One person: every identifier, and the record that tied each.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use throughline_core::{Error, ErrorKind, Result, phone};
use throughline_sql::SqlEngine;

use crate::rows::{Row, Rows};
use crate::settings::Identity;
use crate::ties::{self, Identifier, Tie};

/// What is known of who an identifier belongs to.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    /// None when what was asked for is shared: it belongs to nobody.
    pub person_id: Option<String>,
    /// What the question was taken for.
    pub asked: Vec<Identifier>,
    /// The strongest first: it gives the person its id.
    pub identifiers: Vec<KnownAs>,
    /// Identifiers in records of this person that join nobody.
    pub shared: Vec<Shared>,
    pub visits: i64,
    pub inquiries: i64,
    pub deals: i64,
}

/// An identifier of a person.
#[derive(Clone, Debug, Serialize)]
pub struct KnownAs {
    #[serde(flatten)]
    pub id: Identifier,
    /// The person's id is made of it.
    pub is_canonical: bool,
    /// It is the person's from then on; none: always.
    pub valid_from: Option<String>,
    /// It is the person's before then; none: always.
    pub valid_to: Option<String>,
    /// The records that tie it to stronger identifiers of the person. None for one that stands alone.
    pub tied_by: Vec<Tie>,
}

/// An identifier that joins nobody.
#[derive(Clone, Debug, Serialize)]
pub struct Shared {
    #[serde(flatten)]
    pub id: Identifier,
    pub reason: String,
    /// The records in which it stands beside identifiers of the person, or, when it was asked for, all.
    pub seen_in: Vec<Tie>,
}

/// Finds the person of a phone (in any writing), an e-mail, an identifier of any kind (also
/// `type:value`, or the last part of a longer one), or a `person_id`.
///
/// # Errors
/// `NotFound` when nobody is known by it; `Config` when it fits several persons.
pub async fn person(engine: &dyn SqlEngine, settings: &Identity, who: &str) -> Result<Person> {
    let rows = Rows { engine };
    let found = find(&rows, who).await?;
    ties::bind(engine).await?;
    match found {
        Found::Person { person_id, asked } => of_person(&rows, settings, person_id, asked).await,
        Found::Shared(asked) => {
            let all = ties::ties(engine, &asked).await?;
            let mut shared = Vec::new();
            for id in &asked {
                let seen_in: Vec<Tie> =
                    all.iter().filter(|t| &t.left == id || &t.right == id).cloned().collect();
                shared.push(Shared {
                    reason: reason(&rows, settings, id, &seen_in).await?,
                    id: id.clone(),
                    seen_in,
                });
            }
            Ok(Person {
                person_id: None,
                asked,
                identifiers: Vec::new(),
                shared,
                visits: 0,
                inquiries: 0,
                deals: 0,
            })
        }
    }
}

pub(crate) enum Found {
    Person { person_id: String, asked: Vec<Identifier> },
    Shared(Vec<Identifier>),
}

/// The forms a question may be meant in.
struct Forms {
    /// `type:value`, when it begins with a known type.
    typed: Option<Identifier>,
    person_id: Option<String>,
    email: Option<String>,
    /// As written, digits of other scripts folded.
    text: String,
    /// All its digits, when it could be a phone.
    digits: Option<String>,
}

const TYPES: &[&str] = &[
    "crm_contact",
    "phone",
    "email",
    "wa_user",
    "tg_user",
    "vk_user",
    "viber_user",
    "fb_psid",
    "ym_client",
    "ga_client",
    "visit",
];

impl Forms {
    fn of(who: &str) -> Self {
        let text: String = who.trim().chars().map(folded_digit).collect();
        let typed = text
            .split_once(':')
            .filter(|(t, v)| !v.is_empty() && (TYPES.contains(t) || t.ends_with("_user")));
        let bare = typed.map_or(text.as_str(), |(_, v)| v);
        let is_phone = typed.is_none_or(|(t, _)| t == "phone");
        let digits: String = bare.chars().filter(char::is_ascii_digit).collect();
        let phone_like = is_phone
            && (7..=15).contains(&digits.len())
            && bare.chars().all(|c| {
                c.is_ascii_digit()
                    || c.is_whitespace()
                    || "+()-.\u{2010}\u{2011}\u{2012}\u{2013}/\u{a0}".contains(c)
            });
        let is_hash = |h: &str| h.len() == 16 && h.bytes().all(|b| b.is_ascii_hexdigit());
        Self {
            typed: typed.map(|(t, v)| {
                let value = if t == "email" { v.trim().to_lowercase() } else { v.to_string() };
                Identifier::new(t, value)
            }),
            person_id: text.strip_prefix("p_").filter(|h| is_hash(h)).map(|_| text.clone()),
            email: (typed.is_none() && text.contains('@')).then(|| text.to_lowercase()),
            digits: phone_like.then_some(digits),
            text,
        }
    }
}

/// Digits of any script that people write phones in.
fn folded_digit(c: char) -> char {
    let zero = match c {
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        '\u{966}'..='\u{96f}' => 0x966,
        '\u{ff10}'..='\u{ff19}' => 0xff10,
        '\u{ff0b}' => return '+',
        _ => return c,
    };
    char::from_u32(u32::from(c) - zero + u32::from('0')).unwrap_or(c)
}

pub(crate) async fn find(rows: &Rows<'_>, who: &str) -> Result<Found> {
    let forms = Forms::of(who);
    let mut hits = Vec::new();
    if let Some(id) = &forms.person_id {
        let select = "SELECT DISTINCT person_id FROM identity_map WHERE person_id = $who \
                      UNION SELECT person_id FROM dim_person WHERE person_id = $who";
        if !rows.all(select, &[("who", id)]).await?.is_empty() {
            return Ok(Found::Person { person_id: id.clone(), asked: Vec::new() });
        }
    }
    const COLUMNS: &str = "id_type, id_value, person_id, is_shared";
    if let Some(id) = &forms.typed {
        let select = format!(
            "SELECT {COLUMNS} FROM identity_map WHERE id_type = $type AND (id_value = $value OR \
             (length(id_value) > length($value) AND substr(id_value, length(id_value) - length($value)) = ':' || $value))"
        );
        hits.extend(rows.all(&select, &[("type", &id.id_type), ("value", &id.id_value)]).await?);
    }
    if let Some(email) = &forms.email {
        let select =
            format!("SELECT {COLUMNS} FROM identity_map WHERE id_type = 'email' AND id_value = $email");
        hits.extend(rows.all(&select, &[("email", email)]).await?);
    }
    if let Some(digits) = &forms.digits {
        hits.extend(phones(rows, &forms.text, digits).await?);
    }
    if forms.typed.is_none() {
        // Contacts by their own number too. LIKE's wildcards in the question would only widen the list below.
        let select = format!(
            "SELECT {COLUMNS} FROM identity_map WHERE id_value = $who OR \
             (length(id_value) > length($who) AND substr(id_value, length(id_value) - length($who)) = ':' || $who)"
        );
        hits.extend(rows.all(&select, &[("who", &forms.text)]).await?);
    }
    if hits.is_empty() {
        // Prepared touches and conversions name their person themselves.
        let named = rows
            .all("SELECT person_id FROM dim_person WHERE person_id = $who", &[("who", &forms.text)])
            .await?;
        if !named.is_empty() {
            return Ok(Found::Person { person_id: forms.text, asked: Vec::new() });
        }
    }
    choose(rows, who, &forms, hits).await
}

/// Known phones that the question writes, in its own country's way or in full.
async fn phones(rows: &Rows<'_>, text: &str, digits: &str) -> Result<Vec<Row>> {
    let bare = text.strip_prefix("phone:").unwrap_or(text);
    let last = &digits[digits.len().saturating_sub(6)..];
    let select = "SELECT id_type, id_value, person_id, is_shared FROM identity_map WHERE id_type = 'phone' \
                  AND substr(id_value, length(id_value) - 5) = $last";
    let known = rows.all(select, &[("last", last)]).await?;
    let full = [bare.to_string(), format!("+{digits}")];
    Ok(known
        .into_iter()
        .filter(|row| {
            let value = row.text("id_value");
            // The country is that of the known number: nobody has to name one.
            let home = phone::parse(&value, None).and_then(|p| p.region).and_then(|r| phone::region(&r));
            full.iter().any(|t| phone::parse(t, home).is_some_and(|p| p.e164 == value))
        })
        .collect())
}

async fn choose(rows: &Rows<'_>, who: &str, forms: &Forms, hits: Vec<Row>) -> Result<Found> {
    let id = |row: &Row| Identifier::new(row.text("id_type"), row.text("id_value"));
    let is_shared = |row: &Row| row.get("is_shared") == Some("true");
    let mut by_person: BTreeMap<String, BTreeSet<Identifier>> = BTreeMap::new();
    for row in hits.iter().filter(|r| !is_shared(r)) {
        by_person.entry(row.text("person_id")).or_default().insert(id(row));
    }
    if let [(person_id, asked)] = by_person.iter().collect::<Vec<_>>().as_slice() {
        return Ok(Found::Person { person_id: (*person_id).clone(), asked: asked.iter().cloned().collect() });
    }
    if !by_person.is_empty() {
        let list: Vec<String> = by_person.values().flatten().take(8).map(ToString::to_string).collect();
        return Err(Error::config(format!("{who:?} fits {} persons", by_person.len()))
            .hint(format!("name one identifier in full: {}", list.join(", "))));
    }
    let shared: BTreeSet<Identifier> = hits.iter().map(id).collect();
    if !shared.is_empty() {
        return Ok(Found::Shared(shared.into_iter().collect()));
    }
    let error = Error::new(ErrorKind::NotFound, format!("nobody is known by {who:?}"));
    let near = rows
        .all(
            "SELECT id_type, id_value FROM identity_map WHERE id_type <> 'visit' \
             AND levenshtein(id_value, $who) <= CASE WHEN length($who) < 6 THEN 1 ELSE 2 END \
             ORDER BY levenshtein(id_value, $who), id_type, id_value LIMIT 3",
            &[("who", forms.email.as_ref().unwrap_or(&forms.text))],
        )
        .await?;
    Err(match near.is_empty() {
        false => error.hint(format!(
            "near ones: {}",
            near.iter().map(|r| id(r).to_string()).collect::<Vec<_>>().join(", ")
        )),
        true => error
            .hint("give a phone with its country (+7 916 ...), an e-mail, or an identifier of identity_map"),
    })
}

async fn of_person(
    rows: &Rows<'_>,
    settings: &Identity,
    person_id: String,
    asked: Vec<Identifier>,
) -> Result<Person> {
    let select = "SELECT id_type, id_value, valid_from, valid_to FROM identity_map \
                  WHERE person_id = $person AND NOT is_shared";
    let mut known: Vec<KnownAs> = rows
        .all(select, &[("person", &person_id)])
        .await?
        .iter()
        .map(|r| KnownAs {
            id: Identifier::new(r.text("id_type"), r.text("id_value")),
            is_canonical: false,
            valid_from: r.get("valid_from").map(str::to_string),
            valid_to: r.get("valid_to").map(str::to_string),
            tied_by: Vec::new(),
        })
        .collect();
    known.sort_by(|a, b| {
        let always = |k: &KnownAs| k.valid_from.is_some() || k.valid_to.is_some();
        (always(a), a.id.rank(), &a.id.id_value, &a.valid_from).cmp(&(
            always(b),
            b.id.rank(),
            &b.id.id_value,
            &b.valid_from,
        ))
    });
    if let Some(first) = known.first_mut() {
        first.is_canonical = first.valid_from.is_none() && first.valid_to.is_none();
    }
    let ids: Vec<Identifier> = known.iter().map(|k| k.id.clone()).collect();
    let ties = ties::ties(rows.engine, &ids).await?;
    let own: HashSet<&Identifier> = ids.iter().collect();
    let place = |id: &Identifier| ids.iter().position(|i| i == id);
    let mut strangers: BTreeMap<Identifier, Vec<Tie>> = BTreeMap::new();
    for tie in &ties {
        match (own.contains(&tie.left), own.contains(&tie.right)) {
            (true, true) => {
                // Told once, at the weaker of its ends.
                let weaker = place(&tie.left).max(place(&tie.right));
                let bounded = tie.valid_from.is_some() || tie.valid_to.is_some();
                let fits =
                    |k: &KnownAs| !bounded || (k.valid_from == tie.valid_from && k.valid_to == tie.valid_to);
                let id = weaker.map(|w| ids[w].clone());
                if let Some(at) =
                    id.and_then(|id| known.iter().position(|k| k.id == id && fits(k)).or(weaker))
                {
                    known[at].tied_by.push(tie.clone());
                }
            }
            (true, false) => strangers.entry(tie.right.clone()).or_default().push(tie.clone()),
            (false, true) => strangers.entry(tie.left.clone()).or_default().push(tie.clone()),
            (false, false) => {}
        }
    }
    let mut shared = Vec::new();
    if !strangers.is_empty() {
        let all: Vec<Identifier> = strangers.keys().cloned().collect();
        let theirs = ties::ties(rows.engine, &all).await?;
        for (id, seen_in) in strangers {
            let of_it: Vec<Tie> = theirs.iter().filter(|t| t.left == id || t.right == id).cloned().collect();
            shared.push(Shared { reason: reason(rows, settings, &id, &of_it).await?, id, seen_in });
        }
    }
    let count = |table: &'static str, column: &'static str| {
        let person_id = person_id.clone();
        async move {
            let select =
                format!("SELECT count(DISTINCT {column}) AS n FROM {table} WHERE person_id = $person");
            let found = rows.all(&select, &[("person", &person_id)]).await?;
            Ok::<i64, Error>(found.first().and_then(|r| r.int("n")).unwrap_or(0))
        }
    };
    Ok(Person {
        visits: count("visits", "visit_id").await?,
        inquiries: count("inquiries", "inquiry_id").await?,
        deals: count("conversions", "crm_deal_id").await?,
        person_id: Some(person_id),
        asked,
        identifiers: known,
        shared,
    })
}

/// Why an identifier joins nobody, by all ties it is an end of.
async fn reason(rows: &Rows<'_>, settings: &Identity, id: &Identifier, ties: &[Tie]) -> Result<String> {
    let listed = |entry: &String| {
        entry.split_once(':').is_some_and(|(t, v)| {
            t == id.id_type
                && if t == "email" { v.trim().to_lowercase() == id.id_value } else { v == id.id_value }
        })
    };
    if settings.ignore.iter().any(listed) {
        return Ok("[attribution.identity] ignore lists it".into());
    }
    let select =
        "SELECT is_shared FROM identity_map WHERE id_type = $type AND id_value = $value AND is_shared";
    let marked = rows.all(select, &[("type", &id.id_type), ("value", &id.id_value)]).await?;
    if marked.is_empty() {
        return Ok("it belongs to this person for a time only, or the other end is shared".into());
    }
    let others: BTreeSet<&Identifier> = ties.iter().map(|t| t.other(id)).collect();
    let contacts = others.iter().filter(|o| o.id_type == "crm_contact").count();
    let most = settings.max_contacts;
    if contacts > most as usize {
        return Ok(format!("it is linked to {contacts} CRM contacts, more than max_contacts = {most}"));
    }
    let most = settings.max_people_per_device;
    Ok(match id.id_type.as_str() {
        "ym_client" | "ga_client" => {
            format!(
                "its visits lead to more known people than max_people_per_device = {most}: a shared browser"
            )
        }
        _ => "it is marked as shared in identity_map".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_in_every_form() {
        let digits = |who: &str| Forms::of(who).digits;
        assert_eq!(digits("8 (916) 123-45-67").as_deref(), Some("89161234567"));
        assert_eq!(digits("٠٥٠ ١٢٣ ٤٥٦٧").as_deref(), Some("0501234567"));
        assert_eq!(digits("phone:+79161234567").as_deref(), Some("79161234567"));
        assert_eq!(digits("crm_contact:79161234567"), None, "a contact's number is no phone");
        assert_eq!(digits("anna@example.org"), None);
        assert_eq!(digits("12345"), None);
        assert_eq!(Forms::of(" Anna@Example.ORG ").email.as_deref(), Some("anna@example.org"));
        assert_eq!(Forms::of("email: A@b.c").typed, Some(Identifier::new("email", "a@b.c")));
        assert_eq!(Forms::of("amocrm:studio:7").typed, None, "no type of ours");
        assert_eq!(Forms::of("p_27eb64e965a3b163").person_id.as_deref(), Some("p_27eb64e965a3b163"));
        assert_eq!(Forms::of("p_x").person_id, None);
    }
}
