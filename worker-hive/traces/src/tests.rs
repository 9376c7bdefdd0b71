//! Who is traced, and what hangs below what. What a collector is told is the harness' to see.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{Export, Kind, Span, Traces, detached, step, within};
use http::HeaderMap;
use std::convert::Infallible;

/// Nobody listens there: what is told gets lost when the last of it is dropped.
fn traces(sample: f64) -> Traces {
    let endpoint = "http://127.0.0.1:1/v1/traces".to_owned();
    Traces::start(&Export { service: "test", version: "0", endpoint, authorization: None, sample }).unwrap()
}

fn asked(traceparent: &str) -> HeaderMap {
    [(http::HeaderName::from_static("traceparent"), traceparent.parse().unwrap())].into_iter().collect()
}

#[test]
fn what_can_not_be_used_is_refused() {
    let check = |endpoint: &str, authorization: Option<&str>| {
        let authorization = authorization.map(secrecy::SecretString::from);
        let export =
            Export { service: "test", version: "0", endpoint: endpoint.to_owned(), authorization, sample: 1.0 };
        // Inside of a runtime, as a hive's start is.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let started = runtime.block_on(async { Traces::start(&export).map(|traces| traces.end()) });
        (Traces::check(&export).map_err(|error| error.to_string()), started.map_err(|error| error.to_string()))
    };
    let good = "http://127.0.0.1:1/v1/traces";
    assert_eq!(check(good, Some("Bearer x")), (Ok(()), Ok(())));
    for (endpoint, authorization, said) in [
        ("http://::1:4318/v1/traces", None, "the endpoint is no http or https address"),
        ("http://[::1/v1/traces", None, "the endpoint is no http or https address"),
        ("ftp://host/v1/traces", None, "the endpoint is no http or https address"),
        ("/v1/traces", None, "the endpoint is no http or https address"),
        (good, Some("a\nb"), "the authorization can't stand in a header"),
    ] {
        assert_eq!(check(endpoint, authorization), (Err(said.to_owned()), Err(said.to_owned())), "{endpoint}");
    }
}

#[test]
fn who_is_traced() {
    let recorded = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let unrecorded = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let (all, none) = (1.0, 0.0);
    for (sample, headers, draw, told) in [
        (all, None, 0.999, true),
        (none, None, 0.0, false),
        (0.5, None, 0.499, true),
        (0.5, None, 0.5, false),
        (none, Some(recorded), 0.0, true),
        (all, Some(unrecorded), 0.0, false),
        // What can't be read says nothing.
        (all, Some("00-0-0-00"), 0.0, true),
        (none, Some("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), 0.0, false),
        (none, Some("00-00000000000000000000000000000000-b7ad6b7169203331-01"), 0.0, false),
    ] {
        let headers = headers.map(asked);
        let span = traces(sample).begin("viewer", headers.as_ref(), || draw);
        assert_eq!(span.is_told(), told, "{sample} {headers:?} {draw}");
    }
    assert!(!Traces::off().begin("viewer", Some(&asked(recorded)), || 0.0).is_told());
}

#[tokio::test]
async fn what_hangs_below_what() {
    let headers = asked("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let root = traces(0.0).begin("viewer", Some(&headers), || 0.0);
    let id = |span: &Span| span.context().unwrap();
    assert_eq!(id(&root).trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    let inside = within(root.clone(), async {
        assert_eq!(id(&Span::current()), id(&root));
        let below = step("a step", async { Ok::<_, Infallible>(Span::current()) }, |_| true).await.unwrap();
        assert!(id(&below) != id(&root) && id(&below).trace_id() == id(&root).trace_id());
        // A task takes its span along to wherever it runs.
        let task = tokio::spawn(detached("a task", async { Span::current() })).await.unwrap();
        assert_eq!(id(&task).trace_id(), id(&root).trace_id());
        // Whoever is asked is told of the question's own span.
        let (question, mut fields) = (Span::current().child("ask", Kind::Client), HeaderMap::new());
        question.inject(&mut fields);
        let said = fields.get("traceparent").unwrap().to_str().unwrap().to_owned();
        assert_eq!(said, format!("00-{}-{}-01", id(&question).trace_id(), id(&question).span_id()));
        root.clone()
    });
    inside.await.end();
    assert!(!Span::current().is_told(), "outside there is none");
    let nothing = step("a step", async { Ok::<_, Infallible>(Span::current()) }, |_| true).await.unwrap();
    assert!(!nothing.is_told());
    let mut fields = HeaderMap::new();
    nothing.child("ask", Kind::Client).inject(&mut fields);
    assert!(fields.is_empty());
}
