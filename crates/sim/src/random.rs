//! Randomness by counting: every draw follows from the seed, who draws, and how often it has, so
//! that neither the order of execution nor the number of threads changes any. Logarithm and
//! exponential are computed here, from operations that every machine rounds alike.

use core::time::Duration;

use machine::Rng;

/// The finalizer of SplitMix64: a bijection that spreads every bit over all.
#[inline(always)]
pub(crate) const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The generator for draw `n` of `who` in the run of `seed`, which must be mixed already.
#[inline(always)]
pub(crate) const fn rng(seed: u64, who: u32, n: u32) -> Rng {
    let counter = ((who as u64) << 32 | n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Rng::new(mix(seed ^ counter))
}

/// A number in (0, 1], in steps of 2^-53.
pub(crate) fn unit(rng: &mut Rng) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// Exponentially distributed with `mean`.
pub(crate) fn exponential(mean: Duration, rng: &mut Rng) -> Duration {
    scale(mean, -ln(unit(rng)))
}

/// A duration in nanoseconds, at most 584 years.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

/// Weibull distributed with `shape` and `scale`; shape 1 is the exponential distribution.
pub(crate) fn weibull(shape: f64, scale_by: Duration, rng: &mut Rng) -> Duration {
    let hazard = -ln(unit(rng));
    let power = if hazard > 0.0 { exp(ln(hazard) / shape) } else { 0.0 };
    scale(scale_by, power)
}

/// `duration` times `by`, in nanoseconds, at most 584 years.
pub(crate) fn scale(duration: Duration, by: f64) -> Duration {
    Duration::from_nanos((nanos(duration) as f64 * by) as u64)
}

/// The natural logarithm of a positive normal number, to a few units of the last place: by the
/// series of the inverse hyperbolic tangent on [1/sqrt 2, sqrt 2).
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1_023;
    let mut mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 1_023 << 52);
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut sum = 0.0;
    for odd in (0..12).rev() {
        sum = sum * square + 1.0 / f64::from(2 * odd + 1);
    }
    exponent as f64 * core::f64::consts::LN_2 + 2.0 * z * sum
}

/// e to the power of `x`, for results that are normal numbers; 0 or infinity beyond them.
pub(crate) fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    if x > 700.0 {
        return f64::INFINITY;
    }
    let halvings = (x / core::f64::consts::LN_2 + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let rest = x - halvings as f64 * core::f64::consts::LN_2;
    let mut sum = 1.0;
    for n in (1..16).rev() {
        sum = 1.0 + sum * rest / f64::from(n);
    }
    sum * f64::from_bits(((halvings + 1_023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_exponential_agree_with_the_platforms() {
        for step in 1..4_000 {
            let x = f64::from(step) / 1_000.0;
            assert!((ln(x) - x.ln()).abs() < 1e-14, "ln {x}");
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-14, "exp {x}");
            assert!((exp(-9.0 * x) / (-9.0 * x).exp() - 1.0).abs() < 1e-13, "exp {}", -9.0 * x);
        }
        assert!((ln(1.0 / (1u64 << 53) as f64) + 53.0 * 2f64.ln()).abs() < 1e-12);
        assert_eq!((exp(-1e9), exp(1e9)), (0.0, f64::INFINITY));
    }

    #[test]
    fn distributions_have_their_means() {
        let draws = 200_000;
        let mean = |draw: &dyn Fn(&mut Rng) -> Duration| {
            let total: Duration = (0..draws).map(|n| draw(&mut rng(mix(1), 3, n))).sum();
            total.as_secs_f64() / f64::from(draws)
        };
        let second = Duration::from_secs(1);
        assert!((mean(&|rng| exponential(second, rng)) - 1.0).abs() < 0.01);
        // The mean is the gamma function of 1 + 1 / shape: 2 for 1/2, 0.8862 for 2.
        assert!((mean(&|rng| weibull(0.5, second, rng)) - 2.0).abs() < 0.05);
        assert!((mean(&|rng| weibull(2.0, second, rng)) - 0.886_2).abs() < 0.01);
    }

    #[test]
    fn neighbouring_counters_do_not_resemble_each_other() {
        let ones: u32 = (0..64)
            .map(|n| (rng(mix(1), 9, n).next_u64() ^ rng(mix(1), 9, n + 1).next_u64()).count_ones())
            .sum();
        assert!(ones.abs_diff(64 * 32) < 200, "{ones}");
        assert_ne!(rng(mix(1), 0, 0).next_u64(), rng(mix(2), 0, 0).next_u64());
    }
}
