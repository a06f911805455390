//! Money split by shares, exactly.

/// Splits `total` minor units by `weights` (none negative) with largest remainder: everybody gets the whole
/// units of his share, the units left go to the largest fractions, the earlier first. The parts sum to
/// `total`. Weights that are all 0 leave everything to the first. A loss is split as a gain is.
pub fn split(total: i64, weights: &[f64]) -> Vec<i64> {
    let sum: f64 = weights.iter().sum();
    let amount = total.unsigned_abs() as f64;
    let exact: Vec<f64> = if sum.is_finite() && sum > 0.0 {
        weights.iter().map(|w| w / sum * amount).collect()
    } else {
        (0..weights.len()).map(|i| if i == 0 { amount } else { 0.0 }).collect()
    };
    if total < 0 { round(-i128::from(total), &exact, -1) } else { round(total.into(), &exact, 1) }
}

/// Rounds parts that are known to sum to about `total`, any of them maybe negative, so that they do exactly.
pub fn round_to(total: i64, exact: &[f64]) -> Vec<i64> {
    round(total.into(), exact, 1)
}

fn round(total: i128, exact: &[f64], sign: i128) -> Vec<i64> {
    let mut parts: Vec<i128> = exact.iter().map(|e| e.floor() as i128).collect();
    let mut fractions: Vec<(f64, usize)> =
        exact.iter().enumerate().map(|(place, e)| (e - e.floor(), place)).collect();
    give_rest(total, &mut parts, &mut fractions);
    parts
        .into_iter()
        .map(|p| i64::try_from(p * sign).unwrap_or(if p * sign < 0 { i64::MIN } else { i64::MAX }))
        .collect()
}

/// Gives `parts` what they lack of `total`: one unit each to the largest of `fractions` (of a unit, with the
/// part's place), the earlier place first.
pub(crate) fn give_rest(total: i128, parts: &mut [i128], fractions: &mut [(f64, usize)]) {
    let n = parts.len() as i128;
    let left = total - parts.iter().sum::<i128>();
    if n == 0 || left == 0 {
        return;
    }
    fractions.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    // Beyond 2^53 a float's own unit is more than one: whatever is off goes round first.
    let (each, rest) = (left.div_euclid(n), left.rem_euclid(n));
    for (rank, (_, place)) in (0..).zip(fractions) {
        parts[*place] += each + i128::from(rank < rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sum_to_the_whole() {
        assert_eq!(split(1000, &[1.0, 1.0, 1.0]), [334, 333, 333]);
        assert_eq!(split(-1000, &[1.0, 1.0, 1.0]), [-334, -333, -333]);
        assert_eq!(split(2, &[0.2, 0.4, 0.4]), [0, 1, 1]);
        assert_eq!(split(5, &[0.0, 0.0]), [5, 0]);
        assert_eq!(split(0, &[0.3, 0.7]), [0, 0]);
        assert_eq!(split(7, &[]), Vec::<i64>::new());
        assert_eq!(round_to(-1, &[-2.5, 1.5]), [-2, 1]);
        assert_eq!(round_to(3, &[1.5, 1.5, 0.0]), [2, 1, 0]);
        for total in [i64::MAX, i64::MIN + 1, i64::MIN, 9_007_199_254_740_993, 1] {
            let parts = split(total, &[0.1, 0.2, 0.3, 0.4, 1e-300]);
            assert_eq!(parts.iter().map(|p| i128::from(*p)).sum::<i128>(), i128::from(total));
        }
    }
}
