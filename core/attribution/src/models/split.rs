//! Money split by shares, exactly.

/// Splits `total` minor units by `weights` (none negative) with largest remainder: everybody gets the whole
/// units of his share, the units left go to the largest fractions, the earlier first. The parts sum to
/// `total`. Weights that are all 0 leave everything to the first.
pub fn split(total: i64, weights: &[f64]) -> Vec<i64> {
    let sum: f64 = weights.iter().sum();
    if weights.is_empty() {
        return Vec::new();
    }
    if !(sum.is_finite() && sum > 0.0) {
        let mut parts = vec![0; weights.len()];
        parts[0] = total;
        return parts;
    }
    // The sign stands aside, so that a loss is split as a gain is.
    let amount = total.unsigned_abs();
    let exact: Vec<f64> = weights.iter().map(|w| w / sum * amount as f64).collect();
    let mut parts: Vec<i64> = exact.iter().map(|e| e.floor() as i64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| (exact[*b] - exact[*b].floor()).total_cmp(&(exact[*a] - exact[*a].floor())));
    let given: i128 = parts.iter().map(|p| i128::from(*p)).sum();
    let mut left = i128::from(amount) - given;
    // Beyond 2^53 a float's own unit is more than one: whatever is off goes round once more.
    let each = left / parts.len() as i128;
    for part in &mut parts {
        *part = (i128::from(*part) + each) as i64;
    }
    left -= each * parts.len() as i128;
    for at in order {
        if left == 0 {
            break;
        }
        parts[at] += left.signum() as i64;
        left -= left.signum();
    }
    if total < 0 {
        for part in &mut parts {
            *part = -*part;
        }
    }
    parts
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
        for total in [i64::MAX, -i64::MAX, 9_007_199_254_740_993, 1] {
            let parts = split(total, &[0.1, 0.2, 0.3, 0.4, 1e-300]);
            assert_eq!(parts.iter().map(|p| i128::from(*p)).sum::<i128>(), i128::from(total));
        }
    }
}
