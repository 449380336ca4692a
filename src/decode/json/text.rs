//! What is inside a string's quotes.

use super::vector::{self, BLOCK, VECTOR};

const WORD: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many bytes come before the first that ends, escapes or breaks a string: `"`, `\` or a
/// control character. Most strings end within the first vector.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    match bytes.split_first_chunk::<VECTOR>() {
        Some((first, rest)) => vector::first_special(first).unwrap_or_else(|| VECTOR + long_length(rest)),
        None => short_length(bytes),
    }
}

/// Vector by vector, then in blocks of several, for the few strings that are long.
fn long_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let rest = bytes.get(length..).unwrap_or_default();
        match rest.first_chunk::<BLOCK>() {
            Some(block) if length >= BLOCK && vector::is_plain(block) => length += BLOCK,
            _ => match rest.first_chunk::<VECTOR>() {
                Some(vector) => match vector::first_special(vector) {
                    Some(at) => return length + at,
                    None => length += VECTOR,
                },
                None => return length + short_length(rest),
            },
        }
    }
}

/// For the end of the text, which is shorter than a vector.
fn short_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    if let Some(word) = bytes.first_chunk::<WORD>() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return found.trailing_zeros() as usize / 8;
        }
        length += WORD;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().take_while(|byte| **byte >= 0x20 && **byte != b'"' && **byte != b'\\').count()
}

/// Whether two slices of one length are equal: they are short, so a call of the C library costs more
/// than it saves.
#[inline]
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    if let Some(equal) = same_in_chunks::<VECTOR>(one, other) {
        return equal;
    }
    if let Some(equal) = same_in_chunks::<WORD>(one, other) {
        return equal;
    }
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
}

/// `None` where they are shorter than a chunk. The last chunk overlaps the one before it.
#[inline]
fn same_in_chunks<const N: usize>(one: &[u8], other: &[u8]) -> Option<bool> {
    let last = (one.last_chunk::<N>()?, other.last_chunk::<N>()?);
    let (one_chunks, _) = one.as_chunks::<N>();
    let (other_chunks, _) = other.as_chunks::<N>();
    let all = one_chunks.iter().zip(other_chunks).all(|(one, other)| one == other);
    Some(all && last.0 == last.1 && one.len() == other.len())
}

/// The high bit of each byte that is `"`, `\` or below 0x20; bits after the first may be wrong,
/// since a subtraction borrows from the bytes above.
fn special(word: u64) -> u64 {
    let equals = |byte: u8| {
        let difference = word ^ (ONES * u64::from(byte));
        difference.wrapping_sub(ONES) & !difference
    };
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (equals(b'"') | equals(b'\\') | control) & HIGH
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
