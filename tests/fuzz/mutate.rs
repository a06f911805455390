//! A small fuzzer on stable Rust: inputs grown from real samples, tried one after the other, with debug assertions.
//!
//! In the normal tests each target runs for a second, with the same inputs every time as far as it comes.
//! `THROUGHLINE_FUZZ_SECONDS=600` runs it for longer, from another beginning each time; `THROUGHLINE_FUZZ_SEED`
//! takes one up again. What a target panics on is printed whole, and so is what takes it too long: an input of a
//! few hundred kilobytes that needs seconds grows faster than its length.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A debug build, on a machine that does other things too.
const TOO_LONG: Duration = Duration::from_secs(4);
/// Most inputs are near their samples' size; some grow to this.
const LARGE: usize = 256 << 10;

/// What breaks parsers, beside flipped bits.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"-",
    b"1e999",
    b"0.1e-400",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"9223372036854775807",
    b"1e308",
    b"00",
    b"\0",
    b"\r",
    b"\n",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\x8e",
    b"\xe2\x80\xaf",
    b"\xd9\xa3",
    b"%",
    b"%f",
    b"&",
    b"=",
    b"+",
    b"//",
    b"..",
    b"[ID:",
    b"HHR3D1196WD",
    b"__",
    b"--",
    b"sha256=",
    b"Bearer ",
    b"<",
    b">",
    b"12/03/2026, 14:05 - A: ",
    b"[12.03.26, 14:05:33] A: ",
];

pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap_or(0)
    }
}

/// Tries `target` on inputs made of `seeds` until the time is over; at least on every seed.
pub fn fuzz(name: &str, seeds: &[Vec<u8>], mut target: impl FnMut(&[u8], &mut Random)) {
    assert!(!seeds.is_empty(), "{name}: nothing to begin with");
    let seconds = std::env::var("THROUGHLINE_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let given = std::env::var("THROUGHLINE_FUZZ_SEED").ok().and_then(|s| s.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.subsec_nanos().into());
    let seed: u64 = given.or_else(|| seconds.is_some().then(now)).unwrap_or(88_172_645_463_325_252) | 1;
    let mut random = Random(seed);
    let ends = Instant::now() + Duration::from_secs(seconds.unwrap_or(1));
    let (mut runs, mut slowest) = (0_u64, Duration::ZERO);
    let mut queue: Vec<Vec<u8>> = seeds.to_vec();
    while !queue.is_empty() || Instant::now() < ends {
        let input = queue.pop().unwrap_or_else(|| mutated(seeds, &mut random));
        let mut took = Duration::MAX;
        // Twice more when it was slow: another process may have had its turn.
        for _ in 0..3 {
            let begun = Instant::now();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input, &mut random))) {
                eprintln!("{name}: seed {seed}, run {runs}, {} bytes: {}", input.len(), shown(&input));
                resume_unwind(panic);
            }
            took = took.min(begun.elapsed());
            if took < TOO_LONG {
                break;
            }
        }
        slowest = slowest.max(took);
        assert!(
            took < TOO_LONG,
            "{name}: seed {seed}, run {runs}: {took:?} for {} bytes: {}",
            input.len(),
            shown(&input)
        );
        runs += 1;
    }
    eprintln!("{name}: {runs} executions, the slowest {slowest:?}, seed {seed}");
}

fn shown(input: &[u8]) -> String {
    let text: String =
        input.iter().take(20_000).flat_map(|b| std::ascii::escape_default(*b)).map(char::from).collect();
    if input.len() > 20_000 { format!("b\"{text}\" ..") } else { format!("b\"{text}\"") }
}

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(12) {
            0 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] ^= 1 << random.below(8);
            }
            1 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] = random.below(256) as u8;
            }
            2 => input.truncate(at),
            3 => {
                let end = (at + random.below(64)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            5 => {
                let word = WORDS[random.below(WORDS.len())];
                let end = (at + word.len()).min(input.len());
                input.splice(at..end, word.iter().copied());
            }
            // A part of another sample.
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            // A part of its own, again.
            7 => {
                let to = (at + random.below(100)).min(input.len());
                let part = input[at..to].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, part);
            }
            8 => {
                let end = (at + random.below(30)).min(input.len());
                input[at..end].reverse();
            }
            9 => {
                let digits = random.below(400);
                let number = (0..digits).map(|i| b'0' + ((i * 7 + at) % 10) as u8).collect::<Vec<u8>>();
                input.splice(at..at, number);
            }
            // Now and then something grows: one part of it over and over, or a word.
            10 if random.below(40) == 0 => {
                let to = (at + 1 + random.below(40)).min(input.len());
                let part = if random.below(2) == 0 {
                    input[at..to].to_vec()
                } else {
                    WORDS[random.below(WORDS.len())].to_vec()
                };
                let times = random.below(LARGE / part.len().max(1));
                input.splice(at..at, part.repeat(times));
            }
            // Deep nesting, closed or not.
            11 if random.below(40) == 0 => {
                let depth = random.below(LARGE / 8);
                let (open, close): (&[u8], &[u8]) =
                    if random.below(2) == 0 { (b"[", b"]") } else { (b"{\"a\":", b"}") };
                let closed = if random.below(2) == 0 { close.repeat(depth) } else { Vec::new() };
                input.splice(at..at, [open.repeat(depth), b"1".to_vec(), closed].concat());
            }
            _ => {}
        }
        input.truncate(2 * LARGE);
    }
    input
}

/// Tries texts made of one part over and over, between `before` and `after`: eight times the length must not take
/// anything like sixty-four times as long.
pub fn grows_evenly(name: &str, before: &[u8], after: &[u8], parts: &[&[u8]], mut target: impl FnMut(&[u8])) {
    for part in parts {
        let mut time = |bytes: usize| {
            let input = [before, &part.repeat(bytes / part.len().max(1)), after].concat();
            let begun = Instant::now();
            target(&input);
            begun.elapsed()
        };
        // Another process may have had its turn in the long one: tried again before it is believed.
        let mut worst = None;
        for _ in 0..4 {
            let (short, long) = (time(24 << 10), time(192 << 10));
            worst = (long > 28 * short.max(Duration::from_millis(3))).then_some((short, long));
            if worst.is_none() {
                break;
            }
        }
        assert_eq!(worst, None, "{name}: 24 KiB and 192 KiB of {} over and over", shown(part));
    }
}

/// What a careless loop looks for again and again.
pub const PARTS: &[&[u8]] = &[
    b"[",
    b"]",
    b"{\"a\":",
    b"[ID:",
    b"[ID: ",
    b"\"a\":1,",
    b"<",
    b"<a: b.c",
    b">",
    b"(",
    b" (",
    b": ",
    b"A",
    b"0",
    b"\\",
    b"\\u0041",
    b"\"",
    b",",
    b"/",
    b"__",
    b"--",
    b" ",
    b"\n",
    b"\xe2\x80\x8e",
    b"\xd0\x96",
    b"12.03.2026, 14:05 - A: b\n",
];
