//! Channel names as numbers.

use rustc_hash::FxHashMap;

/// Numbers from 0 in the order names are first met.
#[derive(Clone, Debug, Default)]
pub struct Names {
    numbers: FxHashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Names {
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.into(), number);
        self.names.push(name.into());
        number
    }

    pub fn get(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// Empty for a number that was never given.
    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |n| n)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Reads `A > B > C` into `path`, which is cleared first. Blanks around names do not count; an empty
    /// text is the path without a touch.
    pub fn read_path(&mut self, text: &str, path: &mut Vec<u32>) {
        path.clear();
        for name in text.split('>').map(str::trim).filter(|n| !n.is_empty()) {
            path.push(self.number(name));
        }
    }
}
