//! Chat links of each messenger, and what in them comes back with the first message.
//!
//! Telegram bots, Viber, VK, Messenger and Instagram hand over a hidden part of the link: it holds the name
//! of the campaign. WhatsApp and a person in Telegram hand over only the text that the sender sees: it holds
//! a token, which does not frighten and which a typing error does not turn into another campaign.

use sha2::{Digest, Sha256};
use throughline_core::token::{NUMBERS, VisitToken};
use throughline_core::{Error, Result};

use crate::args::Messenger;

/// Longer ones are cut by some clients.
const MAX_LINK_BYTES: usize = 1999;
/// What Telegram allows, the strictest of all.
const MAX_PAYLOAD: usize = 64;
const MAX_CAMPAIGN_CHARS: usize = 200;

#[derive(Debug, PartialEq)]
pub struct Link {
    pub link: String,
    pub token: Option<String>,
    pub parameter: &'static str,
}

impl Messenger {
    /// As in the column `platform` of messages.
    pub fn platform(self) -> &'static str {
        match self {
            Self::Whatsapp => "whatsapp",
            Self::Telegram | Self::TelegramPerson => "telegram",
            Self::Viber => "viber",
            Self::Vk => "vk",
            Self::Facebook => "facebook",
            Self::Instagram => "instagram",
        }
    }
}

/// The link of a campaign. The same campaign has the same link at all times.
pub fn link(messenger: Messenger, account: &str, campaign: &str, text: Option<&str>) -> Result<Link> {
    let campaign = campaign.trim();
    if campaign.is_empty()
        || campaign.chars().count() > MAX_CAMPAIGN_CHARS
        || campaign.contains(char::is_control)
    {
        return Err(Error::config("the campaign's name must have 1 to 200 characters on one line"));
    }
    let made = match messenger {
        Messenger::Whatsapp => visible(&format!("https://wa.me/{}", phone(account)?), campaign, text),
        Messenger::TelegramPerson => {
            let who = if account.trim().starts_with('+') {
                format!("+{}", phone(account)?)
            } else {
                name(account, "_")?
            };
            visible(&format!("https://t.me/{who}"), campaign, text)
        }
        Messenger::Telegram => {
            hidden(&format!("https://t.me/{}?start=", name(account, "_")?), "start", campaign, text, false)
        }
        Messenger::Viber => {
            let link = format!("viber://pa?chatURI={}&context=", name(account, "_.-")?);
            hidden(&link, "context", campaign, text, true)
        }
        Messenger::Vk => {
            let community = name(account.trim().trim_start_matches('-'), "_.")?;
            let number = community.bytes().all(|b| b.is_ascii_digit());
            let link = format!("https://vk.me/{}{community}?ref=", if number { "club" } else { "" });
            hidden(&link, "ref", campaign, text, false)
        }
        Messenger::Facebook => {
            hidden(&format!("https://m.me/{}?ref=", name(account, "_.-")?), "ref", campaign, text, true)
        }
        Messenger::Instagram => {
            hidden(&format!("https://ig.me/m/{}?ref=", name(account, "_.")?), "ref", campaign, text, false)
        }
    }?;
    if made.link.len() > MAX_LINK_BYTES {
        return Err(Error::config(format!(
            "the link would have {} bytes, and messengers cut those of 2000 or more",
            made.link.len()
        ))
        .hint("shorten --text: a letter that is not Latin takes 6 bytes or more"));
    }
    Ok(made)
}

fn visible(link: &str, campaign: &str, text: Option<&str>) -> Result<Link> {
    let token = token_of(campaign)?;
    let said = text.map(str::trim).filter(|t| !t.is_empty());
    let text = said.map_or_else(|| format!("[ID:{token}]"), |said| format!("{said} [ID:{token}]"));
    let link = format!("{link}?text={}", encoded(&text));
    Ok(Link { link, token: Some(token.to_string()), parameter: "text" })
}

fn hidden(
    link: &str,
    parameter: &'static str,
    campaign: &str,
    text: Option<&str>,
    takes_text: bool,
) -> Result<Link> {
    if campaign.len() > MAX_PAYLOAD
        || !campaign.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    {
        return Err(Error::config(format!("this link cannot carry the campaign {campaign:?}"))
            .hint("it is handed over as it stands: 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    if VisitToken::from_carrier(campaign).is_some() {
        return Err(Error::config(format!("the campaign {campaign:?} would be taken for a visit's token"))
            .hint("give it a longer or shorter name"));
    }
    let mut link = format!("{link}{campaign}");
    match text.map(str::trim).filter(|t| !t.is_empty()) {
        Some(text) if takes_text => link += &format!("&text={}", encoded(text)),
        Some(_) => return Err(Error::config("this messenger's links carry no text").hint("leave --text out")),
        None => {}
    }
    Ok(Link { link, token: None, parameter })
}

/// The token of a campaign: always the same, so that what was printed can be printed again.
fn token_of(campaign: &str) -> Result<VisitToken> {
    let digest = Sha256::new().chain_update("throughline link\n").chain_update(campaign).finalize();
    let number = digest.iter().take(8).fold(0_u64, |n, byte| n << 8 | u64::from(*byte)) % NUMBERS;
    VisitToken::from_number(number)
        .ok_or_else(|| Error::config("this campaign has no token; change its name"))
}

/// Digits with the country's code, as links want them; a Russian 8 before a mobile number becomes 7.
fn phone(text: &str) -> Result<String> {
    let foreign = text.chars().any(|c| !c.is_ascii_digit() && !"+-() .\u{a0}".contains(c));
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    let number = match digits.strip_prefix('8') {
        Some(rest) if rest.len() == 10 && rest.starts_with('9') => format!("7{rest}"),
        _ => digits.to_owned(),
    };
    if foreign || !(8..=15).contains(&number.len()) {
        return Err(Error::config(format!("{text:?} is no phone number")).hint("e.g. --account 79990001122"));
    }
    Ok(number)
}

/// The name of a bot, page or community, without an @ before it.
fn name(text: &str, also: &str) -> Result<String> {
    let name = text.trim().trim_start_matches('@');
    let legal = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
        return Err(Error::config(format!("{text:?} is no account's name"))
            .hint("give the name alone, as it stands in the messenger's link"));
    }
    Ok(name.to_owned())
}

/// Percent-encoded UTF-8. A space is `%20`, for some clients show a plus sign as it is.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'~' | b'*' => {
                out.push(char::from(byte))
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use throughline_core::token::{TokenState, read_text};

    fn made(messenger: Messenger, account: &str, text: Option<&str>) -> String {
        link(messenger, account, "spring-poster", text).unwrap().link
    }

    #[test]
    fn each_messenger() {
        use Messenger::{Instagram, Telegram, Viber, Vk};
        for (messenger, account, text, want) in [
            (Telegram, "@shop_bot", None, "https://t.me/shop_bot?start=spring-poster"),
            (
                Viber,
                "shop",
                Some("Hi & bye"),
                "viber://pa?chatURI=shop&context=spring-poster&text=Hi%20%26%20bye",
            ),
            (Vk, "shop.moscow", None, "https://vk.me/shop.moscow?ref=spring-poster"),
            (Vk, "-123456", None, "https://vk.me/club123456?ref=spring-poster"),
            (Messenger::Facebook, "shop", Some(" "), "https://m.me/shop?ref=spring-poster"),
            (Instagram, "shop_insta", None, "https://ig.me/m/shop_insta?ref=spring-poster"),
        ] {
            assert_eq!(made(messenger, account, text), want);
        }
    }

    #[test]
    fn a_text_holds_a_token_that_is_the_campaigns_for_good() {
        // What was printed must be found for years: this token may never change.
        const TOKEN: &str = "CG52674T9WV";
        let whatsapp =
            link(Messenger::Whatsapp, "8 (999) 000-11-22", "spring-poster", Some("Здравствуйте!")).unwrap();
        assert_eq!(whatsapp.token.as_deref(), Some(TOKEN));
        let text = whatsapp.link.strip_prefix("https://wa.me/79990001122?text=").unwrap();
        assert!(
            text.starts_with("%D0%97%D0%B4")
                && text.ends_with(&format!("%21%20%5BID%3A{TOKEN}%5D").replace("%21", "!"))
        );
        assert_eq!(
            read_text(&format!("Здравствуйте! [ID:{TOKEN}]")),
            (TokenState::Ok, VisitToken::from_bare(TOKEN))
        );
        for (account, start) in
            [("+79990001122", "https://t.me/+79990001122?"), ("anna", "https://t.me/anna?")]
        {
            assert_eq!(
                made(Messenger::TelegramPerson, account, None),
                format!("{start}text=%5BID%3A{TOKEN}%5D")
            );
        }
        let other = link(Messenger::Whatsapp, "79990001122", "Весенний плакат", None).unwrap();
        assert_ne!(other.token, whatsapp.token);
    }

    #[test]
    fn phones() {
        for (text, want) in [
            ("+7 (999) 000-11-22", "79990001122"),
            ("0079990001122", "79990001122"),
            ("84912345678", "84912345678"),
            ("+971 50 123 4567", "971501234567"),
        ] {
            assert_eq!(phone(text).unwrap(), want);
        }
        for wrong in ["", "shop", "12", "7999000112233445", "79990001122;x"] {
            assert!(phone(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_no_link_can_carry() {
        use Messenger::{Telegram, Viber, Whatsapp};
        let long = "я".repeat(400);
        for (messenger, account, campaign, text) in [
            (Telegram, "shop_bot", "весна", None),
            (Telegram, "shop_bot", &*"a".repeat(65), None),
            (Telegram, "shop_bot", "HHR3D1196WD", None),
            (Telegram, "shop_bot", "a__hhr3d1196wd", None),
            (Telegram, "shop_bot", "a", Some("Hi")),
            (Telegram, "https://t.me/shop_bot", "a", None),
            (Whatsapp, "shop", "a", None),
            (Whatsapp, "79990001122", "a", Some(long.as_str())),
            (Whatsapp, "79990001122", " ", None),
            (Whatsapp, "79990001122", "a\nb", None),
            (Viber, "a&b", "a", None),
        ] {
            assert!(link(messenger, account, campaign, text).is_err(), "{messenger:?} {account} {campaign}");
        }
    }
}
