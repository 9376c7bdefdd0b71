//! The two primes of a product, within so many steps and no more: whoever sends the product may not be who it should be, and a number
//! that has no small factor would keep a processor busy for hours.

/// The smaller of two factors of 64 bits has at most 32: some hundred thousand steps find it, almost always.
const MOST_STEPS: u32 = 1 << 20;
/// Steps between two looks for a factor.
const BATCH: u32 = 128;
/// Walks that are tried, as one may find both factors at once.
const WALKS: u64 = 5;

/// What came of looking for factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Factored {
    /// The smaller one and the larger one, neither of them 1.
    pub(crate) factors: Option<(u64, u64)>,
    /// Steps that it took.
    pub(crate) steps: u32,
}

/// Looks for two factors of an odd number, by Pollard's rho as Brent walks it: <https://doi.org/10.1007/BF01933190>.
pub(crate) fn factor(product: u64) -> Factored {
    let mut left = MOST_STEPS;
    let divisor = (1..=WALKS).map_while(|shift| walk(product, shift, &mut left)).find(|divisor| *divisor < product);
    let factors = divisor.map(|divisor| (divisor.min(product / divisor), divisor.max(product / divisor)));
    Factored { factors, steps: MOST_STEPS - left }
}

/// A divisor beyond 1, perhaps the number itself; `None` when no steps are left.
fn walk(product: u64, shift: u64, left: &mut u32) -> Option<u64> {
    let next = |at: u64| add(multiply(at, at, product), shift, product);
    let (mut at, mut length) = (2, 1_u32);
    loop {
        let (anchor, mut walked) = (at, 0);
        while walked < length {
            let steps = (length - walked).min(BATCH).min(*left);
            if steps == 0 {
                return None;
            }
            let (before, mut distances) = (at, 1);
            for _ in 0..steps {
                at = next(at);
                distances = multiply(distances, anchor.abs_diff(at), product);
            }
            walked += steps;
            *left -= steps;
            let divisor = greatest_common(distances, product);
            if divisor == product {
                // Both factors within one batch, or the same one twice: once more, step by step.
                let mut again = before;
                let distances = (0..steps).map(|_| {
                    again = next(again);
                    greatest_common(anchor.abs_diff(again), product)
                });
                return distances.into_iter().find(|divisor| *divisor > 1);
            }
            if divisor > 1 {
                return Some(divisor);
            }
        }
        length = length.saturating_mul(2);
    }
}

fn multiply(one: u64, other: u64, modulus: u64) -> u64 {
    let product = u128::from(one) * u128::from(other) % u128::from(modulus);
    // Smaller than the modulus, which is a u64.
    u64::try_from(product).unwrap_or(0)
}

fn add(one: u64, other: u64, modulus: u64) -> u64 {
    let sum = (u128::from(one) + u128::from(other)) % u128::from(modulus);
    u64::try_from(sum).unwrap_or(0)
}

fn greatest_common(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::{Factored, MOST_STEPS, factor};
    use proptest::prelude::{ProptestConfig, proptest};

    fn is_prime(number: u64) -> bool {
        (3..)
            .step_by(2)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn products_of_two_primes_come_apart(one in 1_u64 << 29..1 << 31, other in 1_u64 << 29..1 << 31) {
            let prime = |from: u64| (from | 1..).step_by(2).find(|number| is_prime(*number)).unwrap();
            let (one, other) = (prime(one), prime(other));
            assert_eq!(factor(one * other).factors, Some((one.min(other), one.max(other))));
        }
    }

    #[test]
    fn small_products_and_squares_come_apart() {
        for (one, other) in [(3, 5), (3, 7), (5, 7), (1_229_739_323, 1_402_015_859), (4_294_967_279, 4_294_967_291)] {
            assert_eq!(factor(one * other).factors, Some((one, other)));
        }
        let square = factor(65_537 * 65_537).factors;
        assert!(square.is_none_or(|factors| factors == (65_537, 65_537)), "{square:?}");
    }

    #[test]
    fn a_prime_is_given_up() {
        // The largest prime below 2^64: its walks close after some thousands of millions of steps.
        assert_eq!(factor(18_446_744_073_709_551_557), Factored { factors: None, steps: MOST_STEPS });
    }
}
