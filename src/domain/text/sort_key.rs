//! Sort keys: the form in which names are sorted and searched.

use std::borrow::Cow;

use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::props::{CanonicalCombiningClass, DefaultIgnorableCodePoint, Script};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The version of the keys that [`of`] returns. Increase it with every change of the rule below, and with every update
/// of the Unicode data that changes keys. The next migration then rebuilds the stored keys.
pub const VERSION: i16 = 1;

const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();
const CASE: CaseMapperBorrowed<'static> = CaseMapper::new();

/// Returns the key of a name: its letters without case (full case folding), accents and width, so that `Zürich`,
/// `ZURICH` and `Ｚｕｒｉｃｈ` have the same key. Latin letters without a decomposition are replaced by the letters that
/// people type for them: `Łódź` becomes `lodz`, `Ørsted` becomes `orsted`.
///
/// Each character is mapped independently of its neighbors. Therefore the key of a part of a name is a part of the
/// name's key, and a search for a part of a name finds the name.
#[must_use]
pub fn of(name: &str) -> String {
    // Remove marks before case folding: otherwise the iota under a Greek letter would become a letter.
    let decomposed: String = NFKD.normalize(name).chars().filter(|c| is_letter(*c)).collect();
    let folded = CASE.fold_string(&decomposed);
    let mut key = String::with_capacity(folded.len());
    for c in NFKD.normalize(&folded).chars().filter(|c| is_letter(*c)) {
        match ascii(c) {
            Some(letters) => key.push_str(&letters),
            None => key.push(c),
        }
    }
    key
}

/// Whether the key contains the character. Accents and other marks on a letter are removed, and so are invisible
/// characters. A virama is kept, because it changes the preceding consonant.
fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        return true;
    }
    let class = CodePointMapData::<CanonicalCombiningClass>::new().get(c);
    matches!(class, CanonicalCombiningClass::NotReordered | CanonicalCombiningClass::Virama)
        && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// The ASCII letters for a Latin letter without a decomposition, such as `ł`, `ø`, `æ` and `ı`.
fn ascii(c: char) -> Option<Cow<'static, str>> {
    if c.is_ascii() || CodePointMapData::<Script>::new().get(c) != Script::Latin {
        return None;
    }
    let letters = deunicode::deunicode_char(c)?;
    let is_lower = !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_upper = !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    match (is_lower, is_upper) {
        (true, _) => Some(Cow::Borrowed(letters)),
        (false, true) => Some(Cow::Owned(letters.to_ascii_lowercase())),
        (false, false) => None,
    }
}
