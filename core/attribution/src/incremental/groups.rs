//! Groups of records that name each other, and which of them something new touches.

use rustc_hash::{FxHashMap, FxHashSet};

use super::nodes::{HASHED, Node, Tie};

/// Union-find over hashed nodes.
#[derive(Default)]
pub(super) struct Groups {
    numbers: FxHashMap<u64, u32>,
    known: Known,
    parents: Vec<u32>,
    touched: Vec<u32>,
    /// Of the record at hand; kept for its room.
    found: Vec<Option<u32>>,
    /// The names that are in touched groups.
    in_touched: FxHashSet<u64>,
    /// Whether the group of a number is touched.
    number_touched: Vec<bool>,
}

/// What is to be known of a record to tell later, without its names, whether its group is touched: 0, the number of
/// a name that it shares with others, counted from 1, or, [`HASHED`], the one name that others may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(pub u64);

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
    pub fn tie(&mut self, nodes: &[Node]) -> Place {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        found.extend(nodes.iter().map(|node| self.find(node.hash)));
        let counting =
            nodes.iter().zip(&found).filter(|(n, found)| n.tie != Tie::IfKnown || found.is_some()).count();
        let mut before = None;
        let mut alone = 0;
        for (node, found) in nodes.iter().zip(&found) {
            let number = match (node.tie, *found) {
                (_, Some(number)) => number,
                (Tie::Always, None) => self.number(node.hash),
                (Tie::WithOthers, None) if counting > 1 => self.number(node.hash),
                (Tie::WithOthers, None) => {
                    // A record that comes later may tie this name to others.
                    alone = node.hash;
                    continue;
                }
                (Tie::IfKnown, None) => continue,
            };
            if let Some(other) = before {
                self.join(other, number);
            }
            before = Some(number);
        }
        self.found = found;
        Place(before.map_or(alone, |number| u64::from(number) + 1))
    }

    /// To be called when every record was tied.
    pub fn close(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let roots: FxHashSet<u32> = touched.into_iter().map(|n| self.root(n)).collect();
        self.number_touched =
            (0..self.parents.len() as u32).map(|number| roots.contains(&self.root(number))).collect();
        let numbers = std::mem::take(&mut self.numbers);
        let is_touched = |number: u32| self.number_touched.get(number as usize) == Some(&true);
        self.in_touched =
            numbers.into_iter().filter_map(|(hash, number)| is_touched(number).then_some(hash)).collect();
        self.known = Known::of(&self.in_touched);
        self.parents = Vec::new();
    }

    /// Whether a record belongs to a group that something touches.
    pub fn is_touched(&self, nodes: &[Node]) -> bool {
        nodes.iter().any(|node| self.in_touched.contains(&node.hash))
    }

    /// The same of a record that was tied.
    pub fn is_touched_at(&self, Place(place): Place) -> bool {
        if place & HASHED != 0 {
            return self.known.may_hold(place) && self.in_touched.contains(&place);
        }
        place > 0 && self.number_touched.get(place as usize - 1) == Some(&true)
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
            *self = Self::for_names(all.len() * 2);
            all.keys().for_each(|hash| self.set(*hash));
        }
        self.set(hash);
    }

    fn for_names(names: usize) -> Self {
        let names = names.next_power_of_two().max(1 << 12);
        Self { bits: vec![0; names * Self::BITS_PER_NAME / 64] }
    }

    fn of(names: &FxHashSet<u64>) -> Self {
        let mut known = Self::for_names(names.len());
        names.iter().for_each(|hash| known.set(*hash));
        known
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

    fn always(name: u64) -> Node {
        Node { hash: name | HASHED, tie: Tie::Always }
    }
    fn with_others(name: u64) -> Node {
        Node { hash: name | HASHED, tie: Tie::WithOthers }
    }
    fn if_known(name: u64) -> Node {
        Node { hash: name | HASHED, tie: Tie::IfKnown }
    }

    /// Ties all records, and tells which are touched, by their places and by their names.
    fn touched(groups: &mut Groups, records: &[&[Node]]) -> Vec<bool> {
        let places: Vec<Place> = records.iter().map(|record| groups.tie(record)).collect();
        groups.close();
        let by_place: Vec<bool> = places.iter().map(|place| groups.is_touched_at(*place)).collect();
        let by_name: Vec<bool> = records.iter().map(|record| groups.is_touched(record)).collect();
        assert_eq!(by_place, by_name);
        by_place
    }

    #[test]
    fn what_is_new_reaches_everything_it_is_tied_to_and_nothing_else() {
        let mut groups = Groups::default();
        groups.touch(&[always(1), always(2)]);
        let records: [&[Node]; 4] = [
            &[always(2), always(3)],
            &[always(3), always(4)],
            &[always(8), always(9)],
            &[if_known(70), always(1)],
        ];
        assert_eq!(touched(&mut groups, &records), [true, true, false, true]);
        assert!(!groups.is_touched(&[always(5)]));
    }

    #[test]
    fn what_stands_alone_takes_no_room_and_what_came_back_ties() {
        let mut groups = Groups::default();
        groups.touch(&[with_others(1)]);
        let records: [&[Node]; 6] = [
            &[always(10), always(20)],
            // A visit of a browser that nobody named so far, and one of a browser that is known.
            &[if_known(99), with_others(3)],
            // Visits with a browser: one with a token that came back with somebody, one with a token that did not.
            &[if_known(100), with_others(1), if_known(20)],
            &[if_known(101), with_others(2), if_known(21)],
            // Another browser of the one that came back is known now, and found by it.
            &[if_known(102), with_others(3), if_known(20)],
            &[if_known(103), with_others(2)],
        ];
        assert_eq!(touched(&mut groups, &records), [true, true, true, false, true, false]);
        assert_eq!(groups.number_touched.len(), 4);
        assert!(!groups.is_touched(&[if_known(21)]));
    }

    #[test]
    fn a_thing_named_once_always_is_there_for_who_asks_later() {
        // A contact that changed, its deal, and a refund that names the deal's conversion alone.
        let mut groups = Groups::default();
        groups.touch(&[always(1)]);
        let records: [&[Node]; 2] =
            [&[if_known(50), always(7)], &[always(5), always(1), if_known(6), if_known(7)]];
        assert_eq!(touched(&mut groups, &records), [true, true]);
    }

    #[test]
    fn what_stands_alone_is_touched_by_itself() {
        let mut groups = Groups::default();
        groups.touch(&[if_known(5)]);
        assert_eq!(touched(&mut groups, &[&[if_known(5)], &[if_known(6)]]), [true, false]);
    }
}
