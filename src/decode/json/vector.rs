//! Sixteen bytes at once: the only unsafe code of this room, which calls what every processor of its
//! kind has.

/// Bytes that one instruction takes.
pub(super) const VECTOR: usize = 16;
/// Bytes that are looked at together where a string is long.
pub(super) const BLOCK: usize = 4 * VECTOR;

/// Where the first `"`, `\` or control character is.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn first_special(bytes: &[u8; VECTOR]) -> Option<usize> {
    // SAFETY: the function needs SSE2, which every x86-64 processor has, and nothing else: it gets
    // its bytes by a reference.
    let found = unsafe { bits_of_specials(bytes) };
    (found != 0).then(|| found.trailing_zeros() as usize)
}

/// Whether there is none.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn is_plain(bytes: &[u8; BLOCK]) -> bool {
    // SAFETY: as above.
    unsafe { is_block_plain(bytes) }
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as sse2;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn bits_of_specials(bytes: &[u8; VECTOR]) -> u32 {
    sse2::_mm_movemask_epi8(specials(bytes)) as u32
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn is_block_plain(bytes: &[u8; BLOCK]) -> bool {
    let (vectors, _) = bytes.as_chunks::<VECTOR>();
    let none = sse2::_mm_setzero_si128();
    let all = vectors.iter().fold(none, |found, vector| sse2::_mm_or_si128(found, specials(vector)));
    sse2::_mm_movemask_epi8(all) == 0
}

/// All bits of each byte that is `"`, `\` or below 0x20.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn specials(bytes: &[u8; VECTOR]) -> sse2::__m128i {
    use sse2::{_mm_cmpeq_epi8, _mm_min_epu8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};
    let bytes = u128::from_le_bytes(*bytes);
    let bytes = _mm_set_epi64x((bytes >> 64) as i64, bytes as i64);
    let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
    let escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
    let controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    _mm_or_si128(_mm_or_si128(quotes, escapes), controls)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn first_special(bytes: &[u8; VECTOR]) -> Option<usize> {
    bytes.iter().position(|byte| is_special(*byte))
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn is_plain(bytes: &[u8; BLOCK]) -> bool {
    !bytes.iter().any(|byte| is_special(*byte))
}

#[cfg(not(target_arch = "x86_64"))]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\')
}
