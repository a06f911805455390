//! Groups of records that name each other, and which of them something new touches.

use rustc_hash::{FxHashMap, FxHashSet};

use super::nodes::{Node, Tie};

/// Union-find over hashed nodes.
#[derive(Default)]
pub(super) struct Groups {
    numbers: FxHashMap<u64, u32>,
    parents: Vec<u32>,
    touched: Vec<u32>,
    roots: FxHashSet<u32>,
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
        let counting =
            nodes.iter().filter(|n| n.tie != Tie::IfKnown || self.numbers.contains_key(&n.hash)).count();
        let mut before = None;
        for node in nodes {
            let number = match (node.tie, self.numbers.get(&node.hash).copied()) {
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
    }

    /// To be called when every record was tied.
    pub fn close(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        self.roots = touched.into_iter().map(|n| self.root(n)).collect();
    }

    /// Whether a record belongs to a group that something touches.
    pub fn is_touched(&mut self, nodes: &[Node]) -> bool {
        nodes.iter().any(|node| {
            let Some(number) = self.numbers.get(&node.hash).copied() else { return false };
            let root = self.root(number);
            self.roots.contains(&root)
        })
    }

    fn number(&mut self, hash: u64) -> u32 {
        let next = self.parents.len() as u32;
        let number = *self.numbers.entry(hash).or_insert(next);
        if number == next {
            self.parents.push(next);
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
