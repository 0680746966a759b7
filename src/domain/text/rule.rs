//! What a text must be: one rule for each kind, used by the types, by the check of requests and by the document.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    BidiClass, DefaultIgnorableCodePoint, GeneralCategory, JoinControl, NoncharacterCodePoint,
    PrependedConcatenationMark, VariationSelector, WhiteSpace,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Visible characters are mandatory, control characters are not allowed. Normalized to NFC and trimmed.
pub(super) static LINE: Rule = Rule {
    keyword: Keyword::Format("line"),
    advice: "Write one line with at least one visible character, without line breaks, control characters or \
             characters that change the direction of the text.",
    read: |text| visible(text, |c| is_forbidden(c) || is_separator(c)),
};

/// As [`LINE`], but line breaks and tabs are allowed.
pub(super) static LINES: Rule = Rule {
    keyword: Keyword::Format("lines"),
    advice: "Write at least one visible character, without control characters (line breaks and tabs are allowed) \
             and without characters that change the direction of the text.",
    read: |text| visible(text, |c| is_forbidden(c) && !matches!(c, '\n' | '\r' | '\t')),
};

/// A stable name for machines.
pub(super) static CODE: Rule = Rule {
    keyword: Keyword::Pattern("^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    advice: "Use the letters A to Z and a to z, digits, `.`, `_` and `-`. Begin with a letter or a digit.",
    read: |text| {
        let is_code = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        is_code.then(|| text.to_owned())
    },
};

/// An address with one `@`. Only a delivery can tell whether it receives mail.
pub(super) static EMAIL: Rule = Rule {
    keyword: Keyword::Format("email-address"),
    advice: "Use an email address: text before and after one `@`, without spaces or invisible \
             characters.",
    read: |text| {
        let text = normalized(text);
        // Joiners make a difference in the scripts of Persian and of India.
        let is_stray = |c| is_forbidden(c) || (is_invisible(c) && !CodePointSetData::new::<JoinControl>().contains(c));
        let parts: Vec<_> = text.split('@').collect();
        let is_email = !text.contains(is_stray)
            && trimmed(&text) == text
            && matches!(parts[..], [local, host] if [local, host].iter().all(|part| part.contains(is_visible)));
        is_email.then(|| text.into_owned())
    },
};

/// An HTTP address in visible ASCII. [`address`](crate::domain::webhook::address) decides which may be called.
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

/// The rule of a kind of text.
pub struct Rule {
    pub(super) keyword: Keyword,
    /// What a valid text looks like.
    pub advice: &'static str,
    /// The normalized text; `None` if the text breaks the rule.
    pub(super) read: fn(&str) -> Option<String>,
}

/// How the document expresses a rule. A pattern is ASCII and means the same in ECMA-262, RE2 and PCRE. A rule that
/// depends on Unicode properties is a format, because a portable pattern cannot express it.
pub(super) enum Keyword {
    Format(&'static str),
    Pattern(&'static str),
}

impl Rule {
    /// The rules that the document expresses by a `format`, by its name.
    pub fn formats() -> impl Iterator<Item = (&'static str, &'static Self)> {
        ALL.iter().filter_map(|rule| match rule.keyword {
            Keyword::Format(name) => Some((name, *rule)),
            Keyword::Pattern(_) => None,
        })
    }

    /// The rule that the document expresses by a `pattern`.
    #[must_use]
    pub fn of_pattern(pattern: &str) -> Option<&'static Self> {
        ALL.iter().find(|rule| matches!(rule.keyword, Keyword::Pattern(known) if known == pattern)).copied()
    }

    /// Whether a text follows the rule.
    #[must_use]
    pub fn accepts(&self, text: &str) -> bool {
        (self.read)(text).is_some()
    }
}

/// How many characters a text has after normalization: what the limits of a length count.
#[must_use]
pub fn length(text: &str) -> usize {
    trimmed(&normalized(text)).chars().count()
}

/// Canonical composition (NFC): the same letters are the same text, however they were typed.
fn normalized(text: &str) -> Cow<'_, str> {
    const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
    NFC.normalize(text)
}

/// The normalized text, if it has a visible character and no forbidden one.
fn visible(text: &str, is_forbidden: impl Fn(char) -> bool) -> Option<String> {
    if text.contains(is_forbidden) {
        return None;
    }
    let text = normalized(text);
    let text = trimmed(&text);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The text from its first visible character to its last. A variation selector right after that one is a part of it:
/// it selects the colored form of an emoji.
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

/// Whether a reader sees nothing: white space, control and format characters, fillers and other blanks.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    // Blank by their glyph; no property of Unicode says so.
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
/// and isolates, by which a text can look like another one.
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

/// Characters that end a line or a paragraph.
fn is_separator(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator)
}
