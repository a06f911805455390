//! One person, made of their number: country, language, name, phone, devices.

use crate::config::Config;
use crate::rng::For;
use crate::words::{COUNTRIES, Country, Lang, first_names, last_names};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Comes to the site, perhaps writes.
    Visitor,
    /// A robot: its visits vanish from Metrica after two days.
    Robot,
    /// Writes from a click-to-WhatsApp ad without seeing the site.
    ClickToChat,
    /// Came to the office: a contact and a deal, no chat and no visit.
    WalkIn,
    /// A customer of the year before; known to the CRM alone.
    History,
}

#[derive(Clone, Copy)]
pub struct Person {
    pub k: u64,
    pub kind: Kind,
    pub country: &'static Country,
    pub city: usize,
    pub first: &'static str,
    pub last: &'static str,
    /// WhatsApp number, digits with country code; unique.
    pub phone: u64,
    /// The number of a shared office switchboard stands in the CRM as a second phone.
    pub office_phone: bool,
    pub has_email: bool,
    /// Meta already gives this person's business-scoped id in webhooks.
    pub has_bsuid: bool,
    /// Uses the browser of person k-1.
    pub shares_device: bool,
}

pub const OFFICE_PHONE: &str = "+74951234500";
/// History contacts count their numbers down from here, so that they never meet a visitor.
const NUMBER_SPACE: u64 = 120_000_000;

fn phone(country: &Country, k: u64) -> u64 {
    let tail = 10u64.pow(country.tail);
    let space = tail * country.prefixes.len() as u64;
    // The multiplier shares no factor with the space, so different people get different numbers.
    let slot = (k % space) * 7_368_787 % space;
    let prefix: u64 = country.prefixes[(slot / tail) as usize].parse().unwrap_or(7999);
    prefix * tail + slot % tail
}

fn kind(cfg: &Config, k: u64) -> Kind {
    match cfg.rng(For::Person, k, 1).below(1000) {
        0..8 => Kind::Robot,
        8..23 => Kind::ClickToChat,
        23..45 => Kind::WalkIn,
        _ => Kind::Visitor,
    }
}

/// Person `k` of the period.
pub fn person(cfg: &Config, k: u64) -> Person {
    let kind = kind(cfg, k);
    let mut r = cfg.rng(For::Person, k, 0);
    let mut weights = [0; 8];
    for (w, c) in weights.iter_mut().zip(COUNTRIES) {
        *w = c.weight;
    }
    let country = &COUNTRIES[r.weighted(&weights[..COUNTRIES.len()])];
    Person {
        k,
        kind,
        country,
        city: r.below(country.cities.len() as u64) as usize,
        first: r.pick(first_names(country.lang)),
        last: r.pick(last_names(country.lang)),
        phone: phone(country, k),
        office_phone: r.permille(if kind == Kind::WalkIn { 60 } else { 8 }),
        has_email: r.permille(220),
        has_bsuid: r.permille(400),
        shares_device: k % 2 == 1
            && r.permille(6)
            && kind == Kind::Visitor
            && self::kind(cfg, k - 1) == Kind::Visitor,
    }
}

/// Contact `j` of the year before.
pub fn history_person(cfg: &Config, j: u64) -> Person {
    let mut r = cfg.rng(For::History, j, 0);
    let country = &COUNTRIES[0];
    Person {
        k: j,
        kind: Kind::History,
        country,
        city: 0,
        first: r.pick(first_names(Lang::Ru)),
        last: r.pick(last_names(Lang::Ru)),
        phone: phone(country, NUMBER_SPACE - 1 - j % (NUMBER_SPACE / 2)),
        office_phone: false,
        has_email: r.permille(150),
        has_bsuid: false,
        shares_device: false,
    }
}

impl Person {
    pub fn lang(&self) -> Lang {
        self.country.lang
    }

    pub fn name(&self) -> String {
        if self.last.is_empty() { self.first.to_owned() } else { format!("{} {}", self.first, self.last) }
    }

    pub fn city(&self) -> (&'static str, u32) {
        self.country.cities[self.city % self.country.cities.len()]
    }

    pub fn e164(&self) -> String {
        format!("+{}", self.phone)
    }

    /// The phone as somebody typed it into the CRM: only Russian numbers are written the national way.
    pub fn phone_as_typed(&self, style: u64) -> String {
        let d = self.phone.to_string();
        if self.country.iso != "RU" || d.len() != 11 {
            return format!("+{d}");
        }
        match style % 5 {
            0 => d,
            1 => format!("8 ({}) {}-{}-{}", &d[1..4], &d[4..7], &d[7..9], &d[9..11]),
            2 => format!("+7 {} {} {} {}", &d[1..4], &d[4..7], &d[7..9], &d[9..11]),
            _ => format!("+{d}"),
        }
    }

    pub fn email(&self) -> Option<String> {
        self.has_email.then(|| format!("Client{}@mail.example", self.phone % 10_000_000))
    }

    pub fn bsuid(&self) -> String {
        format!("{}.{}", self.country.iso, 1_000_000_000_000_000_000 + self.phone * 7_919)
    }

    /// Metrica's ClientID of one of the person's browsers: seconds and nine digits, beyond 2^53.
    pub fn client_id(&self, cfg: &Config, device: u8) -> u64 {
        let owner = if self.shares_device && device == 0 { self.k - 1 } else { self.k };
        let mut r = cfg.rng(For::Client, owner, u64::from(device));
        let born = (cfg.start_at() - r.range(0, 200 * 86_400)) as u64;
        // The owner's number in the middle keeps ids of different browsers apart.
        born * 1_000_000_000 + (owner * 4 + u64::from(device)) % 100_000_000 * 10 + r.below(10)
    }
}

/// A browser with its machine.
pub struct Device {
    pub category: u8,
    pub os_root: &'static str,
    pub os: &'static str,
    pub browser: &'static str,
    pub version: u16,
    pub width: u16,
    pub height: u16,
    pub maker: &'static str,
    pub model: &'static str,
}

const DEVICES: &[Device] = &[
    device(2, "android", "android_14", "chrome", 138, 412, 915, "Samsung", "Galaxy S23"),
    device(2, "ios", "ios18", "mobile_safari", 18, 393, 852, "Apple", "iPhone 15"),
    device(2, "android", "android_13", "yandex_browser", 24, 360, 800, "Xiaomi", "Redmi Note 12"),
    device(1, "windows", "windows_11", "yandex_browser", 24, 1920, 1080, "", ""),
    device(1, "windows", "windows_10", "chrome", 138, 1536, 864, "", ""),
    device(1, "macos", "mac_os_sonoma", "safari", 17, 1440, 900, "", ""),
    device(3, "ios", "ios17", "mobile_safari", 17, 820, 1180, "Apple", "iPad Air"),
];

#[expect(clippy::too_many_arguments, reason = "a table row")]
const fn device(
    category: u8,
    os_root: &'static str,
    os: &'static str,
    browser: &'static str,
    version: u16,
    width: u16,
    height: u16,
    maker: &'static str,
    model: &'static str,
) -> Device {
    Device { category, os_root, os, browser, version, width, height, maker, model }
}

pub fn device_of(cfg: &Config, k: u64, device: u8) -> &'static Device {
    let w = if device == 0 { [34, 26, 14, 10, 8, 4, 4] } else { [6, 6, 4, 34, 30, 16, 4] };
    &DEVICES[cfg.rng(For::Client, k, 100 + u64::from(device)).weighted(&w)]
}
