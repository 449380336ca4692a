use proptest::prelude::*;

use super::*;

fn encode_number(out: &mut Vec<u8>, number: i64) {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

type Header = (Vec<u8>, Option<Vec<u8>>);

fn encode(headers: &[Header]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_number(&mut out, headers.len() as i64);
    for (name, value) in headers {
        encode_number(&mut out, name.len() as i64);
        out.extend_from_slice(name);
        encode_number(&mut out, value.as_ref().map_or(-1, |value| value.len() as i64));
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    out
}

fn decode(bytes: &[u8]) -> Vec<Header> {
    let owned = |(name, value): (&[u8], Option<&[u8]>)| (name.to_vec(), value.map(<[u8]>::to_vec));
    RawHeaders::new(bytes).each().map(owned).collect()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

proptest! {
    #[test]
    fn headers_are_read_as_they_were_written(
        headers in prop::collection::vec((bytes(), prop::option::of(bytes())), 0..5),
        behind in bytes(),
    ) {
        let written = encode(&headers);
        prop_assert_eq!(decode(&[&written[..], &behind].concat()), headers.clone());
        // Cut anywhere, there are none.
        for end in 0..written.len() {
            prop_assert_eq!(decode(&written[..end]), Vec::<Header>::new());
        }
    }

    #[test]
    fn anything_may_come(bytes in bytes()) {
        decode(&bytes);
    }
}

#[test]
fn what_is_broken_anywhere_is_no_headers() {
    let one = encode(&[(b"n".to_vec(), Some(b"v".to_vec()))]);
    assert_eq!(one, [2, 2, b'n', 2, b'v']);
    assert_eq!(decode(&one), [(b"n".to_vec(), Some(b"v".to_vec()))]);
    // Lengths of -1 and -2, counts of -1 and of 100,001, a number that has no end.
    for broken in [&[2, 1, 2, b'v'][..], &[2, 2, b'n', 3], &[1], &[0xc2, 0x9a, 0x0c, 2], &[0xff; 12]] {
        assert_eq!(decode(broken), [], "{broken:?}");
    }
}
