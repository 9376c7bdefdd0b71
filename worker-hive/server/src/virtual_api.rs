//! The interface for manifests: `/v1/virtual` and `/v1/virtual/{slug}`, by the same token as media.
//!
//! Every part is looked at when its manifest is put, so that a wrong one is refused at once and by its number.

use crate::media::Face;
use crate::refusal::Refusal;
use crate::virtual_media::AT_ONCE;
use crate::virtual_text::{Given, GivenPart, Order, Problem, answer, names_problem, page, shown};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use catalog::{Draft, Expect, MOST_PARTS, Manifest, NamesError, Part, Put, content_type_of, join};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use mtproto::{Account, Location, MessageRef};
use pool::{Freshness, Pool, PoolFault};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::Instrument;
use wire::{Fault, IfMatch, REQUEST_ID_HEADER, Slug, is_authorized, read_tags, request_id};

/// A thousand parts take some 100 kB.
const LONGEST_BODY: usize = 512 * 1024;
/// A body that takes longer is given up.
const BODY_TIME: Duration = Duration::from_secs(30);
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1000;
const PATH: &str = "/v1/virtual";

/// The routes of this interface.
pub(crate) fn routes() -> Router<Arc<Face>> {
    Router::new().route(PATH, any(serve)).route("/v1/virtual/{slug}", any(serve))
}

/// Any request below [`PATH`].
async fn serve(State(face): State<Arc<Face>>, request: Request) -> Response {
    let given = request_id(request.headers()).map(str::to_owned);
    let id = given.unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
    let method = match request.method().as_str() {
        "GET" => "GET",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let span = tracing::info_span!("request", id, manifest = request.uri().path());
    let authorized = is_authorized(request.headers(), face.token.expose());
    let (outcome, mut response) = if authorized {
        match decide(&face, request).instrument(span.clone()).await {
            Ok(response) => ("ok", response),
            Err(problem) => {
                span.in_scope(|| tracing::info!(error = problem.code(), message = problem.body.message, "refused"));
                (problem.code(), problem.response())
            }
        }
    } else {
        (Fault::Unauthorized.code(), Refusal::from(Fault::Unauthorized).response())
    };
    face.metrics.requests.with_label_values(&[method, outcome]).inc();
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

async fn decide(face: &Face, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let slug = match parts.uri.path().strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/')) {
        None => None,
        Some(text) => Some(
            Slug::parse(text).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad-slug", error.to_string()))?,
        ),
    };
    let query = parts.uri.query().unwrap_or_default();
    if !query.is_empty() && (slug.is_some() || parts.method != Method::GET) {
        return Err(bad_query());
    }
    match (parts.method, slug) {
        (Method::GET, None) => list(face, query).await,
        (Method::POST, None) => {
            let draft = drafted(face, body).await?;
            let now = unix_now();
            let manifest = face.files.on_disk(move |catalog| catalog.add(draft, now)).await?;
            tracing::info!(slug = %manifest.slug, parts = manifest.parts.len(), "a virtual file was made");
            Ok(kept(StatusCode::CREATED, &manifest))
        }
        (Method::GET, Some(slug)) => {
            let manifest = face.files.on_disk(move |catalog| catalog.get(slug)).await?.ok_or_else(not_found)?;
            Ok(kept(StatusCode::OK, &manifest))
        }
        (Method::PUT, Some(slug)) => put(face, slug, &parts.headers, body).await,
        (Method::DELETE, Some(slug)) => {
            let wanted = Wanted::read(&parts.headers)?;
            let removed = face.files.on_disk(move |catalog| catalog.remove(slug, wanted.expect())).await?;
            if !removed {
                return Err(not_found());
            }
            tracing::info!(%slug, "a virtual file was removed");
            let mut response = answer(StatusCode::NO_CONTENT, Vec::new());
            response.headers_mut().remove(http::header::CONTENT_TYPE);
            Ok(response)
        }
        (_, slug) => {
            let allow = if slug.is_some() { "GET, PUT, DELETE" } else { "GET, POST" };
            let problem =
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "bad-method", format!("expected one of {allow}"));
            Err(Problem { allow: Some(allow), ..problem })
        }
    }
}

async fn put(face: &Face, slug: Slug, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let wanted = Wanted::read(headers)?;
    let draft = drafted(face, body).await?;
    let now = unix_now();
    let put = face.files.on_disk(move |catalog| catalog.put(slug, draft, wanted.expect(), now)).await?;
    // Its parts were looked at just now, whatever was known of them before.
    face.files.broken().forget(slug);
    let status = match &put {
        Put::Created(_) => StatusCode::CREATED,
        Put::Changed(_) | Put::Same(_) => StatusCode::OK,
    };
    if !matches!(put, Put::Same(_)) {
        tracing::info!(%slug, parts = put.manifest().parts.len(), created = status == StatusCode::CREATED, "a virtual file was put");
    }
    Ok(kept(status, put.manifest()))
}

fn kept(status: StatusCode, manifest: &Manifest) -> Response {
    let mut response = answer(status, shown(manifest));
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", manifest.etag)) {
        headers.insert(ETAG, etag);
    }
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::try_from(format!("{PATH}/{}", manifest.slug))
    {
        headers.insert(LOCATION, location);
    }
    response
}

/// `?after=SLUG&limit=N`, both at will.
async fn list(face: &Face, query: &str) -> Result<Response, Problem> {
    let (mut after, mut limit) = (None, PAGE);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", slug)) => after = Some(Slug::parse(slug).map_err(|_| bad_query())?),
            Some(("limit", number)) => {
                let digits = number.bytes().all(|b| b.is_ascii_digit());
                limit =
                    number.parse().ok().filter(|n| digits && (1..=LONGEST_PAGE).contains(n)).ok_or_else(bad_query)?;
            }
            _ => return Err(bad_query()),
        }
    }
    // One more than is shown tells whether there is a next page.
    let mut files = face.files.on_disk(move |catalog| catalog.list(after, limit + 1)).await?;
    let more = files.len() > limit;
    files.truncate(limit);
    Ok(answer(StatusCode::OK, page(&files, more)))
}

/// What must be there for a change to be made, as RFC 9110 §13.1 spells it.
struct Wanted {
    if_match: Option<IfMatch>,
    /// `If-None-Match: *`; lists of tags make no sense here.
    nothing: bool,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = "expected If-Match, or If-None-Match: *, or neither";
        let bad = || Problem::new(StatusCode::BAD_REQUEST, "bad-request", text);
        let if_match = read_tags(headers, &IF_MATCH).map_err(|_| bad())?;
        match (read_tags(headers, &IF_NONE_MATCH).map_err(|_| bad())?, &if_match) {
            (None, _) => Ok(Self { if_match, nothing: false }),
            (Some(IfMatch::Any), None) => Ok(Self { if_match, nothing: true }),
            (Some(_), _) => Err(bad()),
        }
    }

    fn expect(&self) -> Expect<'_> {
        match &self.if_match {
            None if self.nothing => Expect::Nothing,
            None => Expect::Anything,
            Some(IfMatch::Any) => Expect::Something,
            Some(IfMatch::Tags(tags)) => Expect::Etags(tags),
        }
    }
}

/// Reads a manifest and looks at each of its parts.
async fn drafted(face: &Face, body: Body) -> Result<Draft, Problem> {
    let read = tokio::time::timeout(BODY_TIME, to_bytes(body, LONGEST_BODY)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let text = format!("the body broke off or is longer than {LONGEST_BODY} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "bad-body", text));
        }
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "bad-body", "the body did not come in time")),
    };
    let given: Given = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad-json", error.to_string()))?;
    if !(1..=MOST_PARTS).contains(&given.parts.len()) {
        return Err(catalog::DraftError::Count(given.parts.len()).into());
    }
    let look = |(index, part): (usize, &GivenPart)| look_at(face.pool.clone(), index, part.clone()).boxed();
    let looks: Vec<_> = given.parts.iter().enumerate().map(look).collect();
    // In order, so that of several wrong parts the first is told, whichever answer comes first.
    let located: Vec<Arc<Location>> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    draft(given, &located)
}

/// The document of a part, counted from 0, which must be the one that the manifest says.
async fn look_at(pool: Pool<Account>, index: usize, part: GivenPart) -> Result<Arc<Location>, Problem> {
    let message = MessageRef { chat_id: part.chat_id, message_id: part.message_id };
    let bad = |text: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-part", text).part(index, &part);
    if part.chat_id == 0 || part.message_id < 1 {
        return Err(bad("there is no such message".to_owned()));
    }
    let location = pool.describe(message, Freshness::Now).await.map_err(|fault| match fault {
        PoolFault::NotFound | PoolFault::Gone => {
            bad("no session sees such a message in such a chat, or it carries no document".to_owned())
        }
        fault => {
            let Refusal { fault: row, retry_after, .. } = Refusal::from(&fault);
            let problem = Problem::new(row.status(), row.code(), "this part could not be looked at");
            problem.part(index, &part).after(retry_after)
        }
    })?;
    let (size, etag) = (location.identity.size(), location.identity.etag());
    if part.size.is_some_and(|wanted| wanted != size) {
        return Err(bad(format!("its document has {size} bytes and not as many as the manifest says")));
    }
    if part.etag.as_ref().is_some_and(|wanted| *wanted != etag) {
        return Err(bad(format!("its document is {etag} and not the one that the manifest says")));
    }
    if size == 0 {
        return Err(bad("its document is empty".to_owned()));
    }
    Ok(location)
}

/// Puts parts that were found in order and names the whole. Pure.
fn draft(given: Given, located: &[Arc<Location>]) -> Result<Draft, Problem> {
    let names: Vec<&str> = located.iter().map(|location| location.file_name.as_deref().unwrap_or_default()).collect();
    let joined = join(&names);
    let order: Vec<usize> = match (given.order, &joined) {
        (Order::Given, _) => (0..located.len()).collect(),
        (Order::Names, Ok(joined)) => joined.order.clone(),
        (Order::Names, Err(error)) => return Err(names_problem(error, &given.parts)),
    };
    let name = match (&given.name, &joined) {
        (Some(name), _) => name.clone(),
        (None, Ok(joined)) if joined.order == order => joined.name.clone(),
        (None, Ok(_)) => return Err(Problem::manifest("the parts' names put them in another order: give a name")),
        (None, Err(NamesError::Empty)) => return Err(Problem::manifest("there are no parts")),
        (None, Err(error)) => {
            let problem = names_problem(error, &given.parts);
            let message = format!("no name is given, and the parts don't tell it: {}", problem.body.message);
            return Err(Problem { body: crate::virtual_text::ProblemBody { message, ..problem.body }, ..problem });
        }
    };
    let content_type = given.content_type.as_deref().unwrap_or_else(|| content_type_of(&name)).to_owned();
    let parts = order.iter().filter_map(|index| Some((given.parts.get(*index)?, located.get(*index)?)));
    let parts = parts.map(|(part, location)| Part {
        chat_id: part.chat_id,
        message_id: part.message_id,
        size: location.identity.size(),
        identity: location.identity.etag(),
    });
    Ok(Draft::new(&name, &content_type, parts.collect())?)
}

fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such virtual file")
}

fn bad_query() -> Problem {
    let text = format!("expected ?after=SLUG&limit=N with N from 1 to {LONGEST_PAGE}, and only for the list");
    Problem::new(StatusCode::BAD_REQUEST, "bad-query", text)
}

#[expect(clippy::disallowed_methods, reason = "the one place where manifests get their dates")]
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
