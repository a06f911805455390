//! Groups of records that name each other, and which of them something new touches.

use rustc_hash::{FxHashMap, FxHashSet};

use super::nodes::{Node, Tie};

/// Union-find over hashed nodes.
#[derive(Default)]
pub(super) struct Groups {
    numbers: FxHashMap<u64, u32>,
    known: Known,
    parents: Vec<u32>,
    touched: Vec<u32>,
    /// Of the record at hand; kept for its room.
    found: Vec<Option<u32>>,
    /// What the touched groups' records name; small beside all names, so that asking is quick.
    in_touched: FxHashSet<u64>,
}

impl Groups {
    /// Everything a record names is one group, and something of it is new, gone or to be decided anew.
    pub fn touch(&mut self, nodes: &[Node]) {
        let Some(first) = nodes.first() else { return };
        let first = self.number(first.hash);
        self.touched.push(first);
        for node in &nodes[1..] {
            let other = self.number(node.hash);
            self.join(first, other);
        }
    }

    /// Everything a record names is one group, as far as it counts.
    pub fn tie(&mut self, nodes: &[Node]) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        found.extend(nodes.iter().map(|node| self.find(node.hash)));
        let counting =
            nodes.iter().zip(&found).filter(|(n, found)| n.tie != Tie::IfKnown || found.is_some()).count();
        let mut before = None;
        for (node, found) in nodes.iter().zip(&found) {
            let number = match (node.tie, *found) {
                (_, Some(number)) => number,
                (Tie::Always, None) => self.number(node.hash),
                (Tie::WithOthers, None) if counting > 1 => self.number(node.hash),
                _ => continue,
            };
            if let Some(other) = before {
                self.join(other, number);
            }
            before = Some(number);
        }
        self.found = found;
    }

    /// To be called when every record was tied.
    pub fn close(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let roots: FxHashSet<u32> = touched.into_iter().map(|n| self.root(n)).collect();
        let numbers = std::mem::take(&mut self.numbers);
        self.in_touched = numbers
            .into_iter()
            .filter_map(|(hash, number)| roots.contains(&self.root(number)).then_some(hash))
            .collect();
        self.known = Known::default();
        self.parents = Vec::new();
    }

    /// Whether a record belongs to a group that something touches.
    pub fn is_touched(&self, nodes: &[Node]) -> bool {
        nodes.iter().any(|node| self.in_touched.contains(&node.hash))
    }

    fn find(&self, hash: u64) -> Option<u32> {
        if !self.known.may_hold(hash) {
            return None;
        }
        self.numbers.get(&hash).copied()
    }

    fn number(&mut self, hash: u64) -> u32 {
        let next = self.parents.len() as u32;
        let number = *self.numbers.entry(hash).or_insert(next);
        if number == next {
            self.parents.push(next);
            self.known.add(hash, &self.numbers);
        }
        number
    }

    fn root(&mut self, node: u32) -> u32 {
        let mut root = node;
        while self.parents[root as usize] != root {
            root = self.parents[root as usize];
        }
        let mut walk = node;
        while self.parents[walk as usize] != root {
            walk = std::mem::replace(&mut self.parents[walk as usize], root);
        }
        root
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        self.parents[high as usize] = low;
    }
}

/// A bit for each name, in a place that its hash tells: most names that are asked for are not known, and finding
/// that out here costs a fraction of what it costs in a table of millions.
#[derive(Default)]
struct Known {
    bits: Vec<u64>,
}

impl Known {
    const BITS_PER_NAME: usize = 16;

    fn may_hold(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// `all`: every name, this one too, should there be more of them than the bits are for.
    fn add(&mut self, hash: u64, all: &FxHashMap<u64, u32>) {
        if self.bits.len() * 64 < all.len() * Self::BITS_PER_NAME {
            let names = (all.len() * 2).next_power_of_two().max(1 << 12);
            self.bits = vec![0; names * Self::BITS_PER_NAME / 64];
            all.keys().for_each(|hash| self.set(*hash));
        }
        self.set(hash);
    }

    fn set(&mut self, hash: u64) {
        let (word, bit) = self.place(hash);
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= bit;
        }
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        // The table of names goes by the low bits of the hash; these are others.
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        let place = spread as usize & (self.bits.len() * 64).wrapping_sub(1);
        (place / 64, 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn always(hash: u64) -> Node {
        Node { hash, tie: Tie::Always }
    }
    fn with_others(hash: u64) -> Node {
        Node { hash, tie: Tie::WithOthers }
    }
    fn if_known(hash: u64) -> Node {
        Node { hash, tie: Tie::IfKnown }
    }

    #[test]
    fn what_is_new_reaches_everything_it_is_tied_to_and_nothing_else() {
        let mut groups = Groups::default();
        groups.touch(&[always(1), always(2)]);
        groups.tie(&[always(2), always(3)]);
        groups.tie(&[always(3), always(4)]);
        groups.tie(&[always(8), always(9)]);
        groups.close();
        assert!(groups.is_touched(&[always(4)]) && groups.is_touched(&[if_known(70), always(1)]));
        assert!(!groups.is_touched(&[always(9)]) && !groups.is_touched(&[always(5)]));
    }

    #[test]
    fn what_stands_alone_takes_no_room_and_what_came_back_ties() {
        let mut groups = Groups::default();
        groups.touch(&[with_others(1)]);
        groups.tie(&[always(10), always(20)]);
        // Visits with a browser: one with a token that came back with somebody, one with a token that did not.
        groups.tie(&[if_known(100), with_others(1), if_known(20)]);
        groups.tie(&[if_known(101), with_others(2), if_known(21)]);
        assert_eq!(groups.parents.len(), 3);
        // Another browser of the one that came back is known now, and found by it.
        groups.tie(&[if_known(102), with_others(3), if_known(20)]);
        groups.close();
        assert!(groups.is_touched(&[always(10)]) && groups.is_touched(&[if_known(103), with_others(3)]));
        assert!(!groups.is_touched(&[with_others(2)]) && !groups.is_touched(&[if_known(21)]));
    }

    #[test]
    fn a_thing_named_once_always_is_there_for_who_asks_later() {
        // A contact that changed, its deal, and a refund that names the deal's conversion alone.
        let mut groups = Groups::default();
        groups.touch(&[always(1)]);
        groups.tie(&[if_known(50), always(7)]);
        groups.tie(&[always(5), always(1), if_known(6), if_known(7)]);
        groups.close();
        assert!(groups.is_touched(&[if_known(50), always(7)]));
    }

    #[test]
    fn what_stands_alone_is_touched_by_itself() {
        let mut groups = Groups::default();
        groups.touch(&[if_known(5)]);
        groups.tie(&[if_known(5)]);
        groups.tie(&[if_known(6)]);
        groups.close();
        assert!(groups.is_touched(&[if_known(5)]) && !groups.is_touched(&[if_known(6)]));
    }
}
