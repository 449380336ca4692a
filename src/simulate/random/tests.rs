use super::*;

#[test]
fn the_published_sequence_comes_out() {
    // The reference implementation's first numbers for seed 1234567.
    let mut random = Random::new(1_234_567);
    let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
    assert_eq!([random.next(), random.next(), random.next()], expected);
}

#[test]
fn a_weight_of_zero_is_never_picked() {
    let mut random = Random::new(1);
    let choices = [("never", 0), ("often", 9), ("never", 0), ("rarely", 1)];
    let often = (0..10_000)
        .filter(|_| {
            let choice = *random.weighted(&choices);
            assert_ne!(choice, "never");
            choice == "often"
        })
        .count();
    assert!((8_800..9_200).contains(&often), "{often} of 10,000");
}

#[test]
fn organizations_are_sized_by_rank() {
    let zipf = Zipf::new(2_000);
    let mut random = Random::new(7);
    let mut counts = vec![0_u32; 2_000];
    for _ in 0..200_000 {
        counts[zipf.draw(&mut random) as usize] += 1;
    }
    // 0.5 / (H(2001) - 1) = 7.0 % of the traffic for the greatest, a third of that for rank 4.
    assert!((13_300..14_700).contains(&counts[0]), "{}", counts[0]);
    assert!((4_300..5_100).contains(&counts[4]), "{}", counts[4]);
    assert_eq!(Zipf::new(1).draw(&mut random), 0);
}
