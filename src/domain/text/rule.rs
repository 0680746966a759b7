//! The rules for texts: one for each kind. The types, the request checks and the API document use the same rules.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    BidiClass, DefaultIgnorableCodePoint, GeneralCategory, JoinControl, NoncharacterCodePoint,
    PrependedConcatenationMark, VariationSelector, WhiteSpace,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Requires a visible character and allows no control characters. The text is normalized to NFC and trimmed.
pub(super) static LINE: Rule = Rule {
    keyword: Keyword::Format("line"),
    advice: "Write one line with at least one visible character, without line breaks, control characters or \
             characters that change the direction of the text.",
    read: |text| visible(text, |c| is_forbidden(c) || is_separator(c)),
};

/// Like [`LINE`], but line breaks and tabs are allowed.
pub(super) static LINES: Rule = Rule {
    keyword: Keyword::Format("lines"),
    advice: "Write at least one visible character, without control characters (line breaks and tabs are allowed) \
             and without characters that change the direction of the text.",
    read: |text| visible(text, |c| is_forbidden(c) && !matches!(c, '\n' | '\r' | '\t')),
};

/// A stable name for programs.
pub(super) static CODE: Rule = Rule {
    keyword: Keyword::Pattern("^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    advice: "Use the letters A to Z and a to z, digits, `.`, `_` and `-`. Begin with a letter or a digit.",
    read: |text| {
        let is_code = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        is_code.then(|| text.to_owned())
    },
};

/// An address with one `@`. Only a delivery can show whether it receives mail.
pub(super) static EMAIL: Rule = Rule {
    keyword: Keyword::Format("email-address"),
    advice: "Use an email address: text before and after one `@`, without spaces or invisible \
             characters.",
    read: |text| {
        let text = normalized(text);
        // Joiners change the meaning of text in Persian and in Indian scripts.
        let is_stray = |c| is_forbidden(c) || (is_invisible(c) && !CodePointSetData::new::<JoinControl>().contains(c));
        let parts: Vec<_> = text.split('@').collect();
        let is_email = !text.contains(is_stray)
            && trimmed(&text) == text
            && matches!(parts[..], [local, host] if [local, host].iter().all(|part| part.contains(is_visible)));
        is_email.then(|| text.into_owned())
    },
};

/// An HTTP URL in visible ASCII. [`address`](crate::domain::webhooks::address) decides which URLs may be called.
pub(super) static URL: Rule = Rule {
    keyword: Keyword::Pattern("^https?://[!-~]+$"),
    advice: "Use a complete URL, for example `https://receiver.example.com/hooks`. Percent-encode non-ASCII \
        characters.",
    read: |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_url = rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()));
        is_url.then(|| text.to_owned())
    },
};

static ALL: [&Rule; 5] = [&LINE, &LINES, &CODE, &EMAIL, &URL];

pub struct Rule {
    pub(super) keyword: Keyword,
    /// A description of a valid text.
    pub advice: &'static str,
    /// Returns the normalized text; `None` if the text breaks the rule.
    pub(super) read: fn(&str) -> Option<String>,
}

/// How the API document expresses a rule. A pattern is ASCII and has the same meaning in ECMA-262, RE2 and PCRE. A rule
/// that depends on Unicode properties is a format, because no portable pattern can express it.
pub(super) enum Keyword {
    Format(&'static str),
    Pattern(&'static str),
}

impl Rule {
    /// The rules that the API document expresses as a `format`, with its name.
    pub fn formats() -> impl Iterator<Item = (&'static str, &'static Self)> {
        ALL.iter().filter_map(|rule| match rule.keyword {
            Keyword::Format(name) => Some((name, *rule)),
            Keyword::Pattern(_) => None,
        })
    }

    /// The rule that the API document expresses as this `pattern`.
    #[must_use]
    pub fn of_pattern(pattern: &str) -> Option<&'static Self> {
        ALL.iter().find(|rule| matches!(rule.keyword, Keyword::Pattern(known) if known == pattern)).copied()
    }

    #[must_use]
    pub fn accepts(&self, text: &str) -> bool {
        (self.read)(text).is_some()
    }
}

/// The number of characters after normalization. All length limits count these.
#[must_use]
pub fn length(text: &str) -> usize {
    trimmed(&normalized(text)).chars().count()
}

/// Canonical composition (NFC): texts with the same letters become equal, however they were typed.
fn normalized(text: &str) -> Cow<'_, str> {
    const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
    NFC.normalize(text)
}

/// Returns the normalized text if it has a visible character and no forbidden character.
fn visible(text: &str, is_forbidden: impl Fn(char) -> bool) -> Option<String> {
    if text.contains(is_forbidden) {
        return None;
    }
    let text = normalized(text);
    let text = trimmed(&text);
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the text from its first to its last visible character. A variation selector directly after the last
/// character belongs to it: it selects the colored form of an emoji.
fn trimmed(text: &str) -> &str {
    let Some((start, _)) = text.char_indices().find(|(_, c)| is_visible(*c)) else { return "" };
    let Some((last, c)) = text.char_indices().rfind(|(_, c)| is_visible(*c)) else { return "" };
    let end = last + c.len_utf8();
    let selector = text[end..].chars().next().filter(|c| CodePointSetData::new::<VariationSelector>().contains(*c));
    &text[start..end + selector.map_or(0, char::len_utf8)]
}

fn is_visible(c: char) -> bool {
    !is_invisible(c)
}

/// Whether the character is invisible to a reader: white space, control and format characters, fillers and other
/// blanks.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    // Their glyphs are blank, but no Unicode property says so.
    const BLANKS: [char; 2] = ['\u{2800}', '\u{1d159}'];
    if c.is_ascii() {
        return !c.is_ascii_graphic();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    // Format characters are invisible, except those that are written before digits.
    let is_format =
        category == GeneralCategory::Format && !CodePointSetData::new::<PrependedConcatenationMark>().contains(c);
    is_format
        || category == GeneralCategory::Control
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || CodePointSetData::new::<WhiteSpace>().contains(c)
        || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
        || BLANKS.contains(&c)
}

/// Characters that no text may contain: control characters, noncharacters, and the bidirectional overrides, embeddings
/// and isolates, which can make a text look like another text.
fn is_forbidden(c: char) -> bool {
    use BidiClass as Class;
    if c.is_control() || c.is_ascii() {
        return c.is_control();
    }
    let overrides = [Class::LeftToRightOverride, Class::RightToLeftOverride, Class::PopDirectionalFormat];
    let embeddings = [Class::LeftToRightEmbedding, Class::RightToLeftEmbedding];
    let isolates =
        [Class::LeftToRightIsolate, Class::RightToLeftIsolate, Class::FirstStrongIsolate, Class::PopDirectionalIsolate];
    let class = CodePointMapData::<BidiClass>::new().get(c);
    overrides.contains(&class)
        || embeddings.contains(&class)
        || isolates.contains(&class)
        || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
}

/// Whether the character ends a line or a paragraph.
fn is_separator(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator)
}
