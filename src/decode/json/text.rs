//! What is inside a string's quotes.

use super::vector::{self, BLOCK, VECTOR};

/// Where the first byte from `at` on is that ends, escapes or breaks a string: `"`, `\` or a control
/// character. The text's end where there is none. Most strings end within the first vectors.
#[inline]
pub(super) fn plain_end(text: &[u8], at: usize) -> usize {
    let mut at = at;
    for _ in 0..BLOCK / VECTOR {
        let Some(vector) = vector_at(text, at) else { return last_end(text, at, vector::specials) };
        match vector::specials(vector) {
            0 => at += VECTOR,
            found => return at + found.trailing_zeros() as usize,
        }
    }
    long_end(text, at)
}

/// In blocks of several vectors, for the few strings that are long.
fn long_end(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text[at..].first_chunk::<BLOCK>().filter(|block| vector::is_plain(block)) {
        at += block.len();
    }
    first(text, at, vector::specials)
}

/// Where the first byte from `at` on is that is no digit, or the text's end.
#[inline]
pub(super) fn digits_end(text: &[u8], at: usize) -> usize {
    first(text, at, vector::no_digits)
}

/// Where the first byte from `at` on is that is found, or the text's end.
#[inline(always)]
fn first(text: &[u8], mut at: usize, find: impl Fn(&[u8; VECTOR]) -> u32) -> usize {
    loop {
        let Some(vector) = vector_at(text, at) else { return last_end(text, at, find) };
        match find(vector) {
            0 => at += VECTOR,
            found => return at + found.trailing_zeros() as usize,
        }
    }
}

#[inline]
fn vector_at(text: &[u8], at: usize) -> Option<&[u8; VECTOR]> {
    text[at..].first_chunk()
}

/// For the end of the text, which is shorter than a vector: looks at the text's last vector instead.
#[inline]
fn last_end(text: &[u8], at: usize, find: impl Fn(&[u8; VECTOR]) -> u32) -> usize {
    let ahead = text.len() - at;
    let found = match text.last_chunk::<VECTOR>() {
        Some(last) => find(last) >> (VECTOR - ahead),
        None => {
            // What lies behind the text is never looked at.
            let mut padded = [0; VECTOR];
            padded[..ahead].copy_from_slice(&text[at..]);
            find(&padded)
        }
    };
    text.len().min(at + found.trailing_zeros() as usize)
}

/// Whether two slices of one length are equal: they are short, so a call of the C library costs more
/// than it saves.
#[inline]
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    if let (Some(last), Some(other_last)) = (one.last_chunk::<VECTOR>(), other.last_chunk::<VECTOR>()) {
        return one.len() == other.len()
            && vector::are_same(one.as_chunks().0, other.as_chunks().0)
            && last == other_last;
    }
    same_in_chunks::<8>(one, other)
        .or_else(|| same_in_chunks::<4>(one, other))
        .unwrap_or_else(|| one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other))
}

/// For slices of one to two chunks, which may overlap. `None` where they are shorter.
#[inline]
fn same_in_chunks<const N: usize>(one: &[u8], other: &[u8]) -> Option<bool> {
    let ends = |slice: &[u8]| Some((*slice.first_chunk::<N>()?, *slice.last_chunk::<N>()?));
    Some(ends(one)? == ends(other)? && one.len() == other.len())
}

/// How many bytes two texts begin with alike.
pub(in crate::decode) fn same_length(one: &[u8], other: &[u8]) -> usize {
    const WORD: usize = 8;
    let words = one.as_chunks::<WORD>().0.iter().zip(other.as_chunks::<WORD>().0);
    let same = words.take_while(|(one, other)| one == other).count() * WORD;
    let rest = one[same..].iter().zip(&other[same..]);
    same + rest.take_while(|(one, other)| one == other).count()
}

/// Appends what a string with escapes says. `None` where that is no Unicode text: an escape of half
/// a surrogate pair, or bytes that are not UTF-8. The scanner has seen that the escapes are whole.
pub(in crate::decode) fn unescape(raw: &[u8], into: &mut String) -> Option<()> {
    let mut rest = std::str::from_utf8(raw).ok()?;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        into.push_str(&rest[..at]);
        let (character, length) = escaped(&rest[at..])?;
        into.push(character);
        rest = &rest[at + length..];
    }
    into.push_str(rest);
    Some(())
}

/// The character of the escape that the text begins with, and the escape's length.
fn escaped(text: &str) -> Option<(char, usize)> {
    let simple = match text.as_bytes().get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return code_point(text),
        other => char::from(*other),
    };
    Some((simple, 2))
}

/// `\uXXXX`, or two of them that are a surrogate pair.
fn code_point(text: &str) -> Option<(char, usize)> {
    const HIGH_HALVES: std::ops::Range<u32> = 0xd800..0xdc00;
    const LOW_HALVES: std::ops::Range<u32> = 0xdc00..0xe000;
    let unit = |at: usize| u32::from_str_radix(text.get(at..at + 4)?, 16).ok();
    let first = unit(2)?;
    if !HIGH_HALVES.contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = text.get(6..8).filter(|next| *next == "\\u").and_then(|_| unit(8))?;
    if !LOW_HALVES.contains(&second) {
        return None;
    }
    let combined = 0x10000 + ((first - HIGH_HALVES.start) << 10) + (second - LOW_HALVES.start);
    Some((char::from_u32(combined)?, 12))
}
