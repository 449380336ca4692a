//! What only a processor's own instructions do fast, behind safe functions that say what they do.

/// Asks for the line of memory that `at` lies in, without waiting for it. It changes nothing; where
/// there is no such instruction it does nothing.
#[inline]
pub fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the memory of `bytes`, and so for what begins right behind them; of long ones the processor
/// finds the rest by itself.
#[inline]
pub fn prefetch_bytes(bytes: &[u8]) {
    bytes.iter().step_by(LINE_BYTES).take(PREFETCHED_LINES).for_each(prefetch);
    bytes.last().into_iter().for_each(prefetch);
}

const LINE_BYTES: usize = 64;
const PREFETCHED_LINES: usize = 6;

/// A bit for each of the bytes, from the first on: whether it is `wanted`.
#[inline]
pub fn matching(bytes: &[u8; 16], wanted: u8) -> u16 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has SSE2, and 16 bytes are read, unaligned.
    unsafe {
        use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(wanted as i8))) as u16
    }
    #[cfg(not(target_arch = "x86_64"))]
    matching_portably(bytes, wanted)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn matching_portably(bytes: &[u8; 16], wanted: u8) -> u16 {
    bytes.iter().enumerate().fold(0, |mask, (at, byte)| mask | u16::from(*byte == wanted) << at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_is_compared(bytes in prop::array::uniform16(0u8..3), wanted in 0u8..3) {
            prop_assert_eq!(matching(&bytes, wanted), matching_portably(&bytes, wanted));
        }
    }
}
