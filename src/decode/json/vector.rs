//! Many bytes at once: the only unsafe code of this room, which calls what every processor of its
//! kind has.

/// Bytes that one instruction takes.
pub(super) const VECTOR: usize = 16;
/// Bytes that are looked at together where there are many.
pub(super) const BLOCK: usize = 4 * VECTOR;
/// Vectors that are compared before it is looked whether they were equal.
#[cfg(target_arch = "x86_64")]
const TOGETHER: usize = 8;

/// A bit for each byte, from the first on: whether it is `"`, `\` or a control character.
#[inline]
pub(super) fn specials(bytes: &[u8; VECTOR]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the function needs SSE2, which every x86-64 processor has, and nothing else: it gets
    // its bytes by a reference. So does each one below.
    unsafe {
        sse2::bits(sse2::specials(sse2::load(bytes)))
    }
    #[cfg(not(target_arch = "x86_64"))]
    portable::bits(bytes, portable::is_special)
}

/// A bit for each byte, from the first on: whether it is no digit.
#[inline]
pub(super) fn no_digits(bytes: &[u8; VECTOR]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        !sse2::bits(sse2::digits(sse2::load(bytes))) & 0xffff
    }
    #[cfg(not(target_arch = "x86_64"))]
    portable::bits(bytes, |byte| !byte.is_ascii_digit())
}

/// Whether no byte is `"`, `\` or a control character.
#[inline]
pub(super) fn is_plain(bytes: &[u8; BLOCK]) -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        sse2::bits(sse2::specials_of_block(bytes)) == 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    !bytes.iter().copied().any(portable::is_special)
}

/// Whether all of them are equal, one by one. Most are, so that it looks once for so many, at their end;
/// but not once for all, else what differs at once would cost as much as what is long and equal.
#[inline]
pub(super) fn are_same(some: &[[u8; VECTOR]], others: &[[u8; VECTOR]]) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let together = some.chunks(TOGETHER).zip(others.chunks(TOGETHER));
        // SAFETY: as above.
        let mut equal = together.map(|(some, others)| unsafe { sse2::bits(sse2::equal(some, others)) });
        some.len() == others.len() && equal.all(|equal| equal == 0xffff)
    }
    #[cfg(not(target_arch = "x86_64"))]
    return some == others;
}

/// The text, if every byte of it is ASCII.
#[inline]
pub(in crate::decode) fn ascii(text: &[u8]) -> Option<&str> {
    // SAFETY: ASCII is UTF-8.
    is_ascii(text).then(|| unsafe { std::str::from_utf8_unchecked(text) })
}

/// As the standard library's, but faster for texts that are short or of some hundred bytes.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(last) = text.last_chunk() {
        // SAFETY: as above.
        return unsafe { sse2::bits(sse2::any_bits(text.as_chunks().0, last)) == 0 };
    }
    text.iter().all(u8::is_ascii)
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::*;

    use super::{BLOCK, VECTOR};

    #[target_feature(enable = "sse2")]
    #[inline]
    pub fn load(bytes: &[u8; VECTOR]) -> __m128i {
        // SAFETY: the reference is to so many bytes, and the instruction takes them from anywhere.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    /// The highest bit of each byte.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub fn bits(bytes: __m128i) -> u32 {
        _mm_movemask_epi8(bytes) as u32
    }

    /// All bits of each byte that is `"`, `\` or below 0x20.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub fn specials(bytes: __m128i) -> __m128i {
        let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_or_si128(_mm_or_si128(quotes, escapes), controls)
    }

    /// All bits of each byte that is a digit.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub fn digits(bytes: __m128i) -> __m128i {
        let above_zero = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
        _mm_cmpeq_epi8(_mm_min_epu8(above_zero, _mm_set1_epi8(9)), above_zero)
    }

    /// All bits that are set in any of the vectors.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub fn any_bits(vectors: &[[u8; VECTOR]], last: &[u8; VECTOR]) -> __m128i {
        vectors.iter().fold(load(last), |bits, vector| _mm_or_si128(bits, load(vector)))
    }

    /// All bits of each place where all of the vectors are equal.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub fn equal(some: &[[u8; VECTOR]], others: &[[u8; VECTOR]]) -> __m128i {
        some.iter().zip(others).fold(_mm_set1_epi8(-1), |equal, (one, other)| {
            _mm_and_si128(equal, _mm_cmpeq_epi8(load(one), load(other)))
        })
    }

    /// All bits of each place where one of the vectors has a special byte.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub fn specials_of_block(block: &[u8; BLOCK]) -> __m128i {
        let (vectors, _) = block.as_chunks::<VECTOR>();
        let none = _mm_setzero_si128();
        vectors.iter().fold(none, |found, vector| _mm_or_si128(found, specials(load(vector))))
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::VECTOR;

    pub fn bits(bytes: &[u8; VECTOR], is: impl Fn(u8) -> bool) -> u32 {
        bytes.iter().enumerate().fold(0, |bits, (at, byte)| bits | u32::from(is(*byte)) << at)
    }

    pub fn is_special(byte: u8) -> bool {
        byte < 0x20 || matches!(byte, b'"' | b'\\')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place.
    #[test]
    fn each_byte_is_told_apart_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..VECTOR {
                let mut bytes = [b'7'; VECTOR];
                bytes[at] = byte;
                assert_eq!(
                    specials(&bytes),
                    portable::bits(&bytes, portable::is_special),
                    "{byte:#x} at {at}"
                );
                assert_eq!(
                    no_digits(&bytes),
                    portable::bits(&bytes, |byte| !byte.is_ascii_digit()),
                    "{byte:#x}"
                );
                let mut block = [b'7'; BLOCK];
                block[at * 4 + at % 4] = byte;
                assert_eq!(is_ascii(&block), byte.is_ascii());
                assert_eq!(is_ascii(&bytes[..at + 1]), byte.is_ascii());
                assert_eq!(is_plain(&block), !portable::is_special(byte), "{byte:#x} at {at}");
            }
        }
    }
}
