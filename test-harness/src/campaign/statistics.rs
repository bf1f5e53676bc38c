//! Rates with their uncertainty, and quantiles.

/// Of a normal distribution, two-sided 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Interval of 95 % for a rate of which `hits` of `of` were seen (E. B. Wilson, JASA 22, 1927, 209).
pub fn wilson(hits: u64, of: u64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// The rate as it is printed: "0 of N" says no more than that it is at most 3 of N (95 %).
pub fn rate(hits: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    if hits == 0 && of <= 3 {
        return "≤ 1".to_owned();
    }
    if hits == 0 {
        return format!("≤ 3/{of}");
    }
    let (low, high) = wilson(hits, of);
    format!("{:.1} % ({:.1}–{:.1})", percent(hits as f64 / of as f64), percent(low), percent(high))
}

fn percent(part: f64) -> f64 {
    part * 100.0
}

/// The value of which `per_mille` of 1,000 are not greater (nearest rank); the values are sorted.
pub fn quantile(sorted: &[u64], per_mille: u64) -> Option<u64> {
    let rank = (sorted.len() as u64 * per_mille).div_ceil(1000).max(1);
    sorted.get(rank as usize - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_intervals() {
        let near = |one: f64, other: f64| (one - other).abs() < 5e-4;
        let (low, high) = wilson(10, 100);
        assert!(near(low, 0.0552) && near(high, 0.1744), "{low} {high}");
        let (low, high) = wilson(100, 100);
        assert!(near(low, 0.9630) && near(high, 1.0), "{low} {high}");
    }

    #[test]
    fn nothing_seen_is_not_nothing_there() {
        assert_eq!(rate(0, 300), "≤ 3/300");
        assert_eq!((rate(0, 4).as_str(), rate(0, 3).as_str()), ("≤ 3/4", "≤ 1"));
        assert_eq!(rate(0, 0), "–");
        assert_eq!(rate(10, 100), "10.0 % (5.5–17.4)");
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!([500, 990, 999].map(|part| quantile(&values, part)), [Some(50), Some(99), Some(100)]);
        assert_eq!(quantile(&[], 500), None);
    }

    proptest! {
        #[test]
        fn the_rate_lies_in_its_interval(of in 1u64..100_000, hits in 0u64..100_000) {
            let hits = hits.min(of);
            let (low, high) = wilson(hits, of);
            let rate = hits as f64 / of as f64;
            prop_assert!(low <= rate + 1e-9 && rate <= high + 1e-9);
        }
    }
}
