use std::fmt;

/// The name a candidate gives its entry: 90 random bits and a mark, in the form of a version 8 UUID.
///
/// The mark is how an entry is recognised as made by this SDK; only such entries may ever be removed on somebody's behalf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(u128);

impl Guid {
    /// A new one, unlike every other.
    #[must_use]
    pub fn random() -> Self {
        Self::marked(fastrand::u128(..))
    }

    /// One made from a caller's random bits, for repeatable tests.
    #[must_use]
    pub const fn marked(random: u128) -> Self {
        Self(random & !FIXED | MARK | VERSION_AND_VARIANT)
    }

    /// Reads the hyphenated form, if it carries the mark.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hyphens = text.char_indices().filter(|(_, c)| *c == '-').map(|(at, _)| at);
        if text.len() != 36 || !hyphens.eq([8, 13, 18, 23]) {
            return None;
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if !digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
            return None;
        }
        let bits = u128::from_str_radix(&digits, 16).ok()?;
        (bits & FIXED == MARK | VERSION_AND_VARIANT).then_some(Self(bits))
    }
}

/// "incu", the first 32 bits.
const MARK: u128 = 0x696e_6375 << 96;
const VERSION_AND_VARIANT: u128 = 0x8 << 76 | 0b10 << 62;
const FIXED: u128 = 0xffff_ffff << 96 | 0xf << 76 | 0b11 << 62;

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            bits >> 80 & 0xffff,
            bits >> 64 & 0xffff,
            bits >> 48 & 0xffff,
            bits & 0xffff_ffff_ffff,
        )
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let guid = Guid::random();
        assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
        assert_ne!(guid, Guid::random());
        assert!(guid.to_string().starts_with("696e6375-"));
    }

    #[test]
    fn does_not_take_a_strangers_uuid_for_its_own() {
        for text in [
            "",
            "5f0c1d7e-0b0a-4f6b-9a52-6d1c7f2b9e11",
            "696e6375-0b0a-4f6b-9a52-6d1c7f2b9e11",
            "696e6375-0b0a-8f6b-1a52-6d1c7f2b9e11",
            "696E6375-0B0A-8F6B-9A52-6D1C7F2B9E11",
            "696e63750b0a-8f6b-9a52-6d1c7f2b9e11-",
        ] {
            assert_eq!(Guid::parse(text), None, "{text}");
        }
    }
}
