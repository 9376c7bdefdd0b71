//! What must hold for every range, size and header.

#[cfg(test)]
#[path = "../../link/tests/seed/mod.rs"]
mod seed;

#[cfg(test)]
mod tests {
    use crate::seed::seed;
    use http::{HeaderMap, HeaderValue, header};
    use proptest::prelude::{
        Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };
    use proptest::test_runner::RngSeed;
    use slice::{Answer, Boundary, ETag, MediaMeta, Multipart, Selection, answer, select};

    fn config() -> ProptestConfig {
        ProptestConfig {
            cases: 2_000,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed()),
            ..ProptestConfig::default()
        }
    }

    /// `first-last`, `first-` or, without a first, `-length`.
    type Spec = (Option<u64>, Option<u64>);

    fn spec() -> impl Strategy<Value = Spec> {
        prop_oneof![
            (0..70_u64, 0..70_u64).prop_map(|(a, b)| (Some(a.min(b)), Some(a.max(b)))),
            (0..70_u64).prop_map(|first| (Some(first), None)),
            (0..70_u64).prop_map(|length| (None, Some(length))),
            Just((Some(3), Some(u64::MAX))),
        ]
    }

    fn header(specs: &[Spec]) -> String {
        let text = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let set: Vec<_> = specs.iter().map(|(a, b)| format!("{}-{}", text(*a), text(*b))).collect();
        format!("bytes={}", set.join(", "))
    }

    /// The same question asked byte by byte.
    fn wanted(specs: &[Spec], size: u64) -> Vec<bool> {
        let asks = |byte: u64| {
            specs.iter().any(|spec| match *spec {
                (Some(first), last) => byte >= first && last.is_none_or(|last| byte <= last),
                (None, length) => byte >= size.saturating_sub(length.unwrap_or(0)),
            })
        };
        (0..size).map(asks).collect()
    }

    fn meta(size: u64) -> MediaMeta {
        MediaMeta {
            etag: ETag::new("v1"),
            size,
            content_type: "video/mp4".to_owned(),
            last_modified: Some(1_700_000_000),
            file_name: None,
            spans: None,
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn sends_exactly_the_bytes_asked_for(specs in prop::collection::vec(spec(), 1..8), size in 0..64_u64) {
            let mut sent = vec![false; usize::try_from(size).unwrap()];
            let ranges = match select(Some(header(&specs).as_bytes()), size, 8) {
                Selection::Single(range) => vec![range],
                Selection::Multi(ranges) => ranges,
                Selection::Unsatisfiable => vec![],
                Selection::Whole => panic!("a valid set was ignored"),
            };
            for range in ranges {
                prop_assert!(!range.is_empty() && range.end <= size);
                for byte in range.start..range.end {
                    let slot = &mut sent[usize::try_from(byte).unwrap()];
                    prop_assert!(!*slot, "byte {} goes out twice", byte);
                    *slot = true;
                }
            }
            prop_assert_eq!(sent, wanted(&specs, size));
        }

        #[test]
        fn several_ranges_leave_a_gap_and_are_framed_to_the_byte(specs in prop::collection::vec(spec(), 2..8), size in 0..64_u64) {
            let Selection::Multi(ranges) = select(Some(header(&specs).as_bytes()), size, 8) else { return Ok(()) };
            let mut sorted = ranges.clone();
            sorted.sort_by_key(|range| range.start);
            prop_assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
            let multipart = Multipart::new(Boundary::new([7; 16]), &meta(size), &ranges).unwrap();
            let framed = multipart.parts().iter().map(|part| part.head.len() as u64 + part.range.len()).sum::<u64>();
            prop_assert_eq!(multipart.content_length(), framed + multipart.tail().len() as u64);
            prop_assert_eq!(multipart.parts().iter().map(|part| part.range).collect::<Vec<_>>(), ranges);
        }

        #[test]
        fn any_headers_give_an_answer_inside_the_media(
            range in prop::collection::vec(any::<u8>(), 0..40),
            prefixed in any::<bool>(),
            conditions in prop::collection::vec((0..5_usize, prop::collection::vec(any::<u8>(), 0..30)), 0..3),
            size in any::<u64>(),
            max in 0..5_usize,
        ) {
            let names = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_RANGE, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE];
            let mut headers = HeaderMap::new();
            let range = if prefixed { [b"bytes=".as_slice(), &range].concat() } else { range };
            if let Ok(value) = HeaderValue::from_bytes(&range) {
                headers.append(header::RANGE, value);
            }
            for (name, value) in conditions {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(names[name].clone(), value);
                }
            }
            let ranges = match answer(&headers, &meta(size), max) {
                Answer::Partial(range) => vec![range],
                Answer::Multipart(ranges) => ranges,
                _ => vec![],
            };
            prop_assert!(ranges.len() <= max);
            prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size));
        }
    }
}
