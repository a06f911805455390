//! Persons: connected components of the identity graph.
//!
//! Nodes are numbered by SQL in the order of (rank of the type, value), so the smallest number of a
//! component is its canonical identifier. Memory is a few bytes per node; edges are streamed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use throughline_core::{Error, Result};

use crate::host::{HostTable, ints, text_or_empty, texts};
use crate::runner::Runner;
use crate::settings::Identity;

/// Ranks as in `steps/32_nodes.sql`.
const CONTACT: i64 = 0;
const FIRST_DEVICE: i64 = 80;
const VISIT: i64 = 100;

/// `p_` and 16 hex digits of the SHA-256 of `type:value`.
pub(crate) fn person_id(id_type: &str, id_value: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(id_type.as_bytes());
    hash.update(b":");
    hash.update(id_value.as_bytes());
    let digest = hash.finalize();
    let mut id = String::with_capacity(18);
    id.push_str("p_");
    push_hex(&mut id, &digest[..8]);
    id
}

pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Union-find whose roots are the smallest members.
struct Components {
    parent: Vec<u32>,
}

impl Components {
    fn new(nodes: usize) -> Self {
        Self { parent: (0..nodes as u32).collect() }
    }

    fn root(&mut self, node: u32) -> u32 {
        let mut root = node;
        while self.parent[root as usize] != root {
            root = self.parent[root as usize];
        }
        let mut walk = node;
        while self.parent[walk as usize] != root {
            walk = std::mem::replace(&mut self.parent[walk as usize], root);
        }
        root
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller becomes the root: it is the canonical identifier.
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        self.parent[high as usize] = low;
    }
}

#[derive(Clone, Copy)]
struct Edge {
    a: u32,
    b: u32,
    a_rank: i64,
    b_rank: i64,
}

impl Edge {
    fn has_device(self) -> bool {
        is_device(self.a_rank) || is_device(self.b_rank)
    }
}

fn is_device(rank: i64) -> bool {
    (FIRST_DEVICE..VISIT).contains(&rank)
}

/// Joins `x_edge` over `x_node` and binds `x_label` (node, person, is_shared) and `x_person` (person,
/// person_id). A person is the number of its smallest node.
pub(crate) async fn join_persons(runner: &mut Runner<'_>, settings: &Identity) -> Result<()> {
    let nodes = runner.number("SELECT count(*) FROM x_node").await?;
    let nodes = usize::try_from(nodes)
        .ok()
        .filter(|n| *n < u32::MAX as usize)
        .ok_or_else(|| Error::unsupported(format!("{nodes} identifiers are more than one machine joins")))?;
    // Numbers start at 1.
    let mut shared = vec![false; nodes + 1];

    // 0. Who is to be ignored joins nobody.
    let ignored = "SELECT n.node FROM x_node AS n JOIN p_ignore AS i ON i.id_type = n.id_type AND i.id_value = n.id_value";
    let mut rows = runner.read(ignored).await?;
    while let Some(batch) = rows.try_next().await? {
        for node in ints(&batch, "node")?.values() {
            shared[*node as usize] = true;
        }
    }
    drop(rows);

    // 1. Who is linked to too many CRM contacts joins nobody.
    let most = settings.max_contacts as usize;
    let mut contacts: HashMap<u32, HashSet<u32>> = HashMap::new();
    let contact_edges = "SELECT a, b, a_rank, b_rank FROM x_edge WHERE a_rank = 0 OR b_rank = 0";
    for_each(runner, contact_edges, |e| {
        let (contact, other) = match (e.a_rank == CONTACT, e.b_rank == CONTACT) {
            (true, false) => (e.a, e.b),
            (false, true) => (e.b, e.a),
            _ => return,
        };
        let seen = contacts.entry(other).or_default();
        if seen.len() <= most {
            seen.insert(contact);
        }
    })
    .await?;
    for (node, seen) in &contacts {
        shared[*node as usize] |= seen.len() > most;
    }
    drop(contacts);

    // 2. Everything but browsers.
    let mut components = Components::new(nodes + 1);
    let all_edges = "SELECT a, b, a_rank, b_rank FROM x_edge";
    let mut has_person = vec![false; nodes + 1];
    for_each(runner, all_edges, |e| {
        if !e.has_device() && !shared[e.a as usize] && !shared[e.b as usize] {
            components.join(e.a, e.b);
        }
    })
    .await?;
    // Known people: components with an identifier stronger than a browser or a visit.
    let known_nodes = runner.number("SELECT count(*) FROM x_node WHERE rank < 80").await?;
    for node in 1..=known_nodes.max(0) as u32 {
        if !shared[node as usize] {
            let root = components.root(node);
            has_person[root as usize] = true;
        }
    }

    // 3. A browser that leads to too many known people joins nobody either.
    let most = settings.max_people_per_device as usize;
    let mut people: HashMap<u32, HashSet<u32>> = HashMap::new();
    for_each(runner, all_edges, |e| {
        if !e.has_device() {
            return;
        }
        for (device, rank, other) in [(e.a, e.a_rank, e.b), (e.b, e.b_rank, e.a)] {
            let root = components.root(other);
            if is_device(rank) && has_person[root as usize] && !shared[other as usize] {
                let seen = people.entry(device).or_default();
                if seen.len() <= most {
                    seen.insert(root);
                }
            }
        }
    })
    .await?;
    for (device, seen) in &people {
        shared[*device as usize] |= seen.len() > most;
    }
    // A browser known under two ids is one browser: what is true of one is true of the other.
    let twins = "SELECT a, b, a_rank, b_rank FROM x_edge WHERE a_rank >= 80 AND b_rank >= 80 AND a_rank < 100 AND b_rank < 100";
    let mut twins_of: Vec<(u32, u32)> = Vec::new();
    for_each(runner, twins, |e| {
        if people.contains_key(&e.a) || people.contains_key(&e.b) {
            twins_of.push((e.a, e.b));
        }
    })
    .await?;
    for (a, b) in twins_of {
        let both: HashSet<u32> = [a, b].iter().filter_map(|d| people.get(d)).flatten().copied().collect();
        if both.len() > most || shared[a as usize] || shared[b as usize] {
            shared[a as usize] = true;
            shared[b as usize] = true;
        }
    }
    drop(people);

    // 4. The browsers that are left.
    for_each(runner, all_edges, |e| {
        if e.has_device() && !shared[e.a as usize] && !shared[e.b as usize] {
            components.join(e.a, e.b);
        }
    })
    .await?;

    write_labels(runner, nodes, &mut components, &shared).await?;
    write_persons(runner, &mut components).await
}

async fn for_each(runner: &Runner<'_>, select: &str, mut each: impl FnMut(Edge)) -> Result<()> {
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        let (a, b) = (ints(&batch, "a")?, ints(&batch, "b")?);
        let (a_rank, b_rank) = (ints(&batch, "a_rank")?, ints(&batch, "b_rank")?);
        for row in 0..batch.num_rows() {
            each(Edge {
                a: a.value(row) as u32,
                b: b.value(row) as u32,
                a_rank: a_rank.value(row),
                b_rank: b_rank.value(row),
            });
        }
    }
    Ok(())
}

async fn write_labels(
    runner: &mut Runner<'_>,
    nodes: usize,
    components: &mut Components,
    shared: &[bool],
) -> Result<()> {
    const ROWS: usize = 65_536;
    let schema = Arc::new(Schema::new(vec![
        Field::new("node", DataType::Int64, false),
        Field::new("person", DataType::Int64, false),
        Field::new("is_shared", DataType::Boolean, false),
    ]));
    let mut table = HostTable::create(&runner.folder("x_label"), schema)?;
    let mut first = 1;
    while first <= nodes {
        let last = (first + ROWS - 1).min(nodes);
        let persons: Int64Array = (first..=last).map(|n| i64::from(components.root(n as u32))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new((first as i64..=last as i64).collect::<Int64Array>()),
            Arc::new(persons),
            Arc::new(BooleanArray::from(shared[first..=last].to_vec())),
        ];
        table.write(columns)?;
        first = last + 1;
    }
    let written = table.finish()?;
    runner.bind("x_label", &written.table()).await
}

async fn write_persons(runner: &mut Runner<'_>, components: &mut Components) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("person", DataType::Int64, false),
        Field::new("person_id", DataType::Utf8, false),
    ]));
    let mut table = HostTable::create(&runner.folder("x_known_person"), schema)?;
    let mut rows = runner.read("SELECT node, id_type, id_value FROM x_node").await?;
    while let Some(batch) = rows.try_next().await? {
        let node = ints(&batch, "node")?;
        let (types, values) = (texts(&batch, "id_type")?, texts(&batch, "id_value")?);
        let mut persons = Vec::new();
        let mut ids = Vec::new();
        for row in 0..batch.num_rows() {
            let n = node.value(row) as u32;
            if components.root(n) == n {
                persons.push(i64::from(n));
                ids.push(person_id(text_or_empty(types, row), text_or_empty(values, row)));
            }
        }
        table.write(vec![Arc::new(Int64Array::from(persons)), Arc::new(StringArray::from(ids))])?;
    }
    let written = table.finish()?;
    runner.bind("x_known_person", &written.table()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn person_ids_are_those_of_the_definition() {
        assert_eq!(person_id("crm_contact", "501"), "p_27eb64e965a3b163");
        assert_eq!(person_id("ym_client", "1700000000000000002"), "p_ce2a2390bc325dd9");
    }

    #[test]
    fn the_smallest_member_is_the_root_whatever_the_order() {
        let edges = [(5, 3), (9, 5), (1, 9), (7, 8)];
        for turn in 0..edges.len() {
            let mut components = Components::new(10);
            for i in 0..edges.len() {
                let (a, b) = edges[(i + turn) % edges.len()];
                components.join(a, b);
            }
            let roots: Vec<u32> = (0..10).map(|n| components.root(n)).collect();
            assert_eq!(roots, [0, 1, 2, 1, 4, 1, 6, 7, 7, 1]);
        }
    }

    #[test]
    fn a_component_of_a_million_is_one_person_and_no_deep_walk() {
        // A chain from its far end is the longest walk there is.
        const NODES: u32 = 1_000_000;
        for forwards in [false, true] {
            let mut components = Components::new(NODES as usize);
            for step in 1..NODES {
                let node = if forwards { step } else { NODES - step };
                components.join(node - 1, node);
            }
            assert!((0..NODES).all(|node| components.root(node) == 0), "{forwards}");
        }
    }
}
