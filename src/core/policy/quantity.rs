//! Parses Kubernetes quantities of bytes. Existing crates for this are not used, because they
//! depend on another version of k8s-openapi.
//!
//! Source: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

/// Returns the number of bytes of a quantity; `None` if the text is not a quantity.
pub(super) fn bytes(quantity: &str) -> Option<f64> {
    let split = quantity
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(split);
    if !number.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let power = |units: &str, unit: char| units.find(unit).and_then(|at| i32::try_from(at).ok());
    let mut units = suffix.chars();
    let factor = match (units.next(), units.as_str()) {
        (None, _) => 1.0,
        (Some(unit), "i") => 1024_f64.powi(1 + power("KMGTPE", unit)?),
        (Some(unit), "") => 1000_f64.powi(power("num kMGTPE", unit)? - 3),
        (Some('e' | 'E'), exponent) => 10_f64.powi(exponent.parse().ok()?),
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::bytes;
    use rstest::rstest;

    #[rstest]
    #[case("1Mi", Some(1_048_576.0))]
    #[case("64Ki", Some(65_536.0))]
    #[case("1.5M", Some(1_500_000.0))]
    #[case("20000", Some(20_000.0))]
    #[case("1e6", Some(1_000_000.0))]
    #[case("2E3", Some(2_000.0))]
    #[case("-1Mi", Some(-1_048_576.0))]
    #[case("1MB", None)]
    #[case("1 Mi", None)]
    #[case("Mi", None)]
    #[case("", None)]
    #[case("1..5", None)]
    fn quantities_are_parsed_as_by_the_api_server(
        #[case] text: &str,
        #[case] expected: Option<f64>,
    ) {
        assert_eq!(bytes(text), expected);
    }
}
