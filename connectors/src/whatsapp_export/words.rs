//! What WhatsApp itself writes in place of a message: media left out, files attached, messages deleted or edited.
//! Each language has its own words; those of English, Russian and Arabic are here whole, of some others the
//! commonest. Text that is not known is text.

use super::head::{clean, is_mark};

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub kind: &'static str,
    /// A notice, a deletion: no message of its own in any count.
    pub is_event: bool,
    pub is_edited: bool,
    pub text: Option<String>,
    /// Name of the file that came with it.
    pub attachment: Option<String>,
}

/// iOS puts this mark before what WhatsApp wrote.
const OWN_WORDS: char = '\u{200e}';

const EDITED: [&str; 8] = [
    "<This message was edited>",
    "<Сообщение изменено>",
    "<Это сообщение изменено>",
    "<تم تعديل هذه الرسالة>",
    "<Se editó este mensaje.>",
    "<Diese Nachricht wurde bearbeitet.>",
    "<Ce message a été modifié>",
    "<Mensagem editada>",
];
const DELETED: [&str; 14] = [
    "This message was deleted",
    "You deleted this message",
    "Данное сообщение удалено",
    "Это сообщение удалено",
    "Сообщение удалено",
    "Вы удалили данное сообщение",
    "Вы удалили это сообщение",
    "تم حذف هذه الرسالة",
    "حذفت هذه الرسالة",
    "لقد حذفت هذه الرسالة",
    "Se eliminó este mensaje",
    "Diese Nachricht wurde gelöscht",
    "Ce message a été supprimé",
    "Mensagem apagada",
];
/// `<Media omitted>` on Android: some word of each language's text.
const MEDIA: [&str; 11] = [
    "media",
    "медиа",
    "وسائط",
    "multimedia",
    "medien",
    "médias",
    "mídia",
    "medya",
    "медіа",
    "omitted",
    "omitido",
];
/// `image omitted` on iOS: what, and that it is left out.
const WHAT: [(&str, &[&str]); 6] = [
    ("image", &["image", "photo", "изображени", "фото", "صورة", "imagen", "bild"]),
    ("video", &["video", "видео", "فيديو", "vídeo"]),
    ("audio", &["audio", "аудио", "голосов", "صوت", "رسالة صوتية"]),
    ("sticker", &["sticker", "стикер", "ملصق", "gif", "figurita"]),
    ("contacts", &["contact card", "карточка контакта", "контакт", "جهة اتصال"]),
    ("document", &["document", "документ", "مستند", "documento", "dokument"]),
];
const OMITTED: [&str; 11] = [
    "omitted",
    "пропущ",
    "отсутств",
    "не включ",
    "исключ",
    "استبعاد",
    "مستبعد",
    "محذوف",
    "omitid",
    "weggelassen",
    "omis",
];
const ATTACHED: [&str; 9] = [
    "file attached",
    "файл добавлен",
    "файл прикреплён",
    "файл прикреплен",
    "الملف مرفق",
    "ملف مرفق",
    "archivo adjunto",
    "datei angehängt",
    "fichier joint",
];
const CALLS: [&str; 9] = [
    "voice call",
    "video call",
    "аудиозвонок",
    "видеозвонок",
    "مكالمة صوتية",
    "مكالمة فيديو",
    "llamada",
    "sprachanruf",
    "appel vocal",
];

/// What was said by somebody. `ios`: the file is one of iOS, which marks WhatsApp's own words.
pub(super) fn said(raw: &str, ios: bool) -> Said {
    let own = raw.starts_with(OWN_WORDS);
    let mut text = lines_cleaned(raw);
    let mut said = Said { kind: "text", is_event: false, is_edited: false, text: None, attachment: None };
    if let Some(before) = EDITED.iter().find_map(|mark| text.strip_suffix(mark)) {
        said.is_edited = true;
        text = before.trim_end().to_owned();
    }
    if DELETED.contains(&text.trim_end_matches('.')) {
        (said.kind, said.is_event) = ("delete", true);
        return said;
    }
    let (first, more) = text.split_once('\n').unwrap_or((&text, ""));
    let caption = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    if let Some((name, before, behind)) = bracketed_file(&text) {
        said.kind = kind_of(&name);
        said.text = caption(&format!("{before}{behind}"));
        said.attachment = Some(name);
    } else if let Some(name) = attached_file(first) {
        said.kind = kind_of(&name);
        said.text = caption(more);
        said.attachment = Some(name);
    } else if is_omitted_media(first) {
        // Which it was is not told.
        said.kind = "media";
        said.text = caption(more);
    } else if own && ios && is_call(&text) {
        (said.kind, said.is_event) = ("call", true);
        said.text = Some(text);
    } else if let Some(kind) = own.then(|| omitted(first)).flatten() {
        said.kind = kind;
        said.text = caption(more);
    } else if text.contains("https://maps.google.com/?q=") {
        said.kind = "location";
        said.text = Some(text);
    } else if own && ios {
        (said.kind, said.is_event) = ("system", true);
        said.text = Some(text);
    } else if text.is_empty() {
        said.kind = "unsupported";
    } else {
        said.text = Some(text);
    }
    said
}

fn is_call(text: &str) -> bool {
    let lower = text.to_lowercase();
    CALLS.iter().any(|call| lower.contains(call))
}

/// Without marks at the ends and the carriage returns; what is inside stays as it was written.
fn lines_cleaned(raw: &str) -> String {
    let trimmed = raw.trim_matches(|c: char| is_mark(c) || c.is_whitespace());
    // A mark may stand before WhatsApp's words in the middle, too.
    if trimmed.contains(OWN_WORDS) { trimmed.replace(OWN_WORDS, "") } else { trimmed.to_owned() }
}

/// `<attached: 00000012-PHOTO-2026-03-12-14-05-33.jpg>`: the name, and what stands around it.
fn bracketed_file(text: &str) -> Option<(String, &str, &str)> {
    let open = text.rfind('<')?;
    let close = open + text[open..].find('>')?;
    let (word, name) = text[open + 1..close].split_once(": ")?;
    let good = !word.contains(['\n', '/']) && word.chars().count() <= 30 && has_extension(name);
    good.then(|| (clean(name), &text[..open], &text[close + 1..]))
}

/// `IMG-20260312-WA0001.jpg (file attached)`.
fn attached_file(line: &str) -> Option<String> {
    let (name, words) = line.strip_suffix(')')?.rsplit_once(" (")?;
    let words = words.to_lowercase();
    let known = ATTACHED.contains(&words.as_str()) || (name.contains("-WA") && words.chars().count() <= 40);
    (known && has_extension(name)).then(|| clean(name))
}

fn has_extension(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=5).contains(&extension.len())
            && extension.bytes().all(|b| b.is_ascii_alphanumeric())
            && !name.contains(['\n', '/', '\\'])
    })
}

fn kind_of(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default();
    let stem = name.to_ascii_uppercase();
    match extension.as_str() {
        "webp" => "sticker",
        "jpg" | "jpeg" | "png" | "heic" | "gif" => "image",
        "mp4" | "mov" | "3gp" | "webm" => "video",
        "opus" | "m4a" | "mp3" | "aac" | "ogg" | "amr" | "wav" => "audio",
        "vcf" => "contacts",
        _ if stem.contains("STICKER") => "sticker",
        _ => "document",
    }
}

fn is_omitted_media(line: &str) -> bool {
    let Some(inside) = line.strip_prefix('<').and_then(|l| l.strip_suffix('>')) else { return false };
    let lower = inside.to_lowercase();
    !inside.contains(['<', '>', '/'])
        && inside.chars().count() <= 60
        && MEDIA.iter().any(|w| lower.contains(w))
}

fn omitted(line: &str) -> Option<&'static str> {
    let lower = line.to_lowercase();
    if lower.chars().count() > 80 || !OMITTED.iter().any(|w| lower.contains(w)) {
        return None;
    }
    WHAT.iter().find(|(_, words)| words.iter().any(|w| lower.contains(w))).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(raw: &str) -> (&'static str, bool, Option<String>, Option<String>) {
        let said = said(raw, true);
        (said.kind, said.is_event, said.text, said.attachment)
    }

    #[test]
    fn what_whatsapp_writes_itself() {
        let text = |t: &str| Some(t.to_owned());
        let table = [
            ("Привет", ("text", false, text("Привет"), None)),
            (" две\nстроки ", ("text", false, text("две\nстроки"), None)),
            ("<Media omitted>", ("media", false, None, None)),
            ("<Без медиафайлов>", ("media", false, None, None)),
            ("<تم استبعاد الوسائط>\nقائمة", ("media", false, text("قائمة"), None)),
            ("<ok>", ("text", false, text("<ok>"), None)),
            ("\u{200e}image omitted", ("image", false, None, None)),
            ("\u{200e}изображение отсутствует", ("image", false, None, None)),
            ("\u{200e}аудиофайл пропущен", ("audio", false, None, None)),
            ("\u{200e}تم استبعاد الصورة", ("image", false, None, None)),
            ("\u{200e}صورة مستبعدة", ("image", false, None, None)),
            ("image omitted", ("text", false, text("image omitted"), None)),
            (
                "\u{200e}<attached: 00000012-PHOTO-2026-03-12-14-05-33.jpg>",
                ("image", false, None, text("00000012-PHOTO-2026-03-12-14-05-33.jpg")),
            ),
            (
                "смета.pdf • \u{200e}2 стр. \u{200e}<прикреплено: 00000013-смета.pdf>",
                ("document", false, text("смета.pdf • 2 стр."), text("00000013-смета.pdf")),
            ),
            (
                "IMG-20260312-WA0001.jpg (файл добавлен)\nвот диван",
                ("image", false, text("вот диван"), text("IMG-20260312-WA0001.jpg")),
            ),
            (
                "PTT-20250328-WA0014.opus (archivo adjunto)",
                ("audio", false, None, text("PTT-20250328-WA0014.opus")),
            ),
            ("Анна.vcf (file attached)", ("contacts", false, None, text("Анна.vcf"))),
            ("цена 5.00 (со скидкой)", ("text", false, text("цена 5.00 (со скидкой)"), None)),
            ("This message was deleted", ("delete", true, None, None)),
            ("\u{200e}Вы удалили данное сообщение.", ("delete", true, None, None)),
            ("تم حذف هذه الرسالة", ("delete", true, None, None)),
            (
                "\u{200e}Сообщения и звонки защищены сквозным шифрованием.",
                ("system", true, text("Сообщения и звонки защищены сквозным шифрованием."), None),
            ),
            ("\u{200e}Пропущенный аудиозвонок", ("call", true, text("Пропущенный аудиозвонок"), None)),
            ("", ("unsupported", false, None, None)),
            (
                "Местоположение: https://maps.google.com/?q=55.7,37.6",
                ("location", false, text("Местоположение: https://maps.google.com/?q=55.7,37.6"), None),
            ),
        ];
        for (raw, wanted) in table {
            assert_eq!(short(raw), wanted, "{raw:?}");
        }
    }

    #[test]
    fn an_edited_message_is_its_text() {
        let edited = said("да \u{200e}<This message was edited>", false);
        assert_eq!((edited.text.as_deref(), edited.is_edited, edited.kind), (Some("да"), true, "text"));
    }
}
