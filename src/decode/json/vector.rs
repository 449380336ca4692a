//! Sixteen bytes at once: the only unsafe code of this room, which calls what every processor of its
//! kind has.

/// Bytes that one instruction takes.
pub(super) const VECTOR: usize = 16;

/// Where the first `"`, `\` or control character is.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn first_special(bytes: &[u8; VECTOR]) -> Option<usize> {
    // SAFETY: the function needs SSE2, which every x86-64 processor has, and nothing else: it takes
    // its bytes by value.
    let found = unsafe { special(u128::from_le_bytes(*bytes)) };
    (found != 0).then(|| found.trailing_zeros() as usize)
}

/// A bit for each byte that is `"`, `\` or below 0x20.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn special(bytes: u128) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let bytes = _mm_set_epi64x((bytes >> 64) as i64, bytes as i64);
    let equals = |byte: u8| _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(equals(b'"'), equals(b'\\')), control)) as u32
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn first_special(bytes: &[u8; VECTOR]) -> Option<usize> {
    bytes.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
}
