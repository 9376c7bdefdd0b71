//! The face: a request in, an answer out.

use crate::openapi;
use crate::operation::{Call, Note, Operation, Outcome};
use crate::path;
use crate::problem::Problem;
use crate::tokens::{Role, Tokens};
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
/// Where the description is.
const DESCRIPTION: &str = "/openapi.json";

/// A request, as far as the API looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// As it was sent, percent-encoded.
    pub path: &'a str,
    /// What stands behind the `?`, percent-encoded.
    pub query: &'a str,
    /// The header of this name.
    pub authorization: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
}

/// What to send.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: &'static str,
    /// `WWW-Authenticate`, `Allow` or `Retry-After`, if the status wants one.
    pub header: Option<(http::HeaderName, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// If it was about a change: who wanted it and what became of it.
    pub audit: Option<Audit>,
}

/// One line of the audit log. Holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Name of the token.
    pub who: String,
    /// The operation's id.
    pub what: &'static str,
    /// What was to be changed.
    pub target: String,
    /// How it was; null if it was not there, or nothing was done.
    pub before: Value,
    /// How it is; null if it is not there any more, or nothing was done.
    pub after: Value,
    /// Status of the answer.
    pub status: u16,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The table.
#[derive(Debug)]
pub struct Api<S> {
    operations: Vec<Operation<S>>,
    description: Vec<u8>,
}

impl<S: Send + 'static> Api<S> {
    /// The API of these operations.
    #[must_use]
    pub fn new(title: &str, version: &str, operations: Vec<Operation<S>>) -> Self {
        let mut description =
            serde_json::to_vec_pretty(&openapi::document(title, version, &operations)).unwrap_or_default();
        description.push(b'\n');
        Self { operations, description }
    }

    /// The OpenAPI 3.1 description of it, as JSON.
    #[must_use]
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// Does what is asked, if who asks may.
    pub async fn answer(&self, state: S, tokens: &Tokens, request: Request<'_>) -> Answer {
        // Before the path is looked at: who has no token doesn't learn what there is.
        let Some((who, role)) = tokens.judge(request.authorization) else {
            return unauthorized();
        };
        if request.path == DESCRIPTION {
            return match *request.method {
                Method::GET => answered(StatusCode::OK, JSON, self.description.clone()),
                _ => not_allowed(&[&Method::GET]),
            };
        }
        let here = |operation: &'_ &Operation<S>| path::values(operation.path, request.path).is_some();
        let here: Vec<&Operation<S>> = self.operations.iter().filter(here).collect();
        let Some(operation) = here.iter().find(|operation| operation.method == *request.method) else {
            return match here.as_slice() {
                [] => refused(&Problem::not_found(format!("there is no {}; see {DESCRIPTION}", request.path))),
                some => not_allowed(&some.iter().map(|operation| &operation.method).collect::<Vec<_>>()),
            };
        };
        let values = path::values(operation.path, request.path).unwrap_or_default();
        let done = if role < operation.role {
            let detail = format!("the token {who} may only read");
            Err(Problem::new(StatusCode::FORBIDDEN, detail))
        } else {
            let call = Call { who: who.clone(), values };
            (operation.handler)(state, call, request.query, request.body).await
        };
        let mut answer = match &done {
            Ok(outcome) => answered(operation.status, JSON, outcome.body.clone()),
            Err(problem) => refused(problem),
        };
        if operation.role == Role::Write {
            answer.audit = Some(audit(who.to_string(), operation.id, request.path, answer.status, done));
        }
        answer
    }
}

fn audit(who: String, what: &'static str, path: &str, status: StatusCode, done: Result<Outcome, Problem>) -> Audit {
    let status = status.as_u16();
    let (note, refused) = match done {
        Ok(outcome) => (outcome.note, None),
        Err(problem) => (None, Some(problem.detail)),
    };
    let nothing = || Note { target: path.to_owned(), before: Value::Null, after: Value::Null };
    let Note { target, before, after } = note.unwrap_or_else(nothing);
    Audit { who, what, target, before, after, status, refused }
}

fn answered(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    Answer { status, content_type, header: None, body, audit: None }
}

fn refused(problem: &Problem) -> Answer {
    let header = problem.retry_after.map(|seconds| (http::header::RETRY_AFTER, seconds.to_string()));
    Answer { header, ..answered(problem.status, PROBLEM, problem.body()) }
}

fn unauthorized() -> Answer {
    let detail = "Authorization: Bearer with one of the tokens of [admin] is wanted";
    let answer = refused(&Problem::new(StatusCode::UNAUTHORIZED, detail));
    Answer { header: Some((http::header::WWW_AUTHENTICATE, "Bearer realm=\"admin\"".to_owned())), ..answer }
}

fn not_allowed(methods: &[&Method]) -> Answer {
    let allowed: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    let allowed = allowed.join(", ");
    let detail = format!("here goes: {allowed}");
    let answer = refused(&Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail));
    Answer { header: Some((http::header::ALLOW, allowed)), ..answer }
}

impl Answer {
    /// A refusal that comes before the API sees the request.
    #[must_use]
    pub fn refusal(problem: &Problem) -> Self {
        refused(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::{Api, Audit, Request};
    use crate::{Call, Changed, Operation, Problem, Role, Tokens};
    use http::{Method, StatusCode};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Page {
        /// Most rows.
        limit: Option<u32>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Film {
        name: String,
    }

    fn api() -> Api<u64> {
        let list = |state: u64, _: Call, page: Page| async move { Ok(vec![state, page.limit.unwrap_or(1).into()]) };
        let put = |_: u64, call: Call, film: Film| async move {
            if film.name == "taken" {
                return Err(Problem::conflict("it is taken"));
            }
            let target = format!("film:{}", call.parameter("id"));
            Ok(Changed { after: json!({ "name": film.name }), answer: film, target, before: Value::Null })
        };
        let clear = |_: u64, _: Call, (): ()| async move {
            Ok(Changed { answer: json!({}), target: "films".to_owned(), before: Value::Null, after: Value::Null })
        };
        Api::new(
            "films",
            "1.0",
            vec![
                Operation::reads("/v1/films", "list", "Films", list),
                Operation::writes(Method::PUT, "/v1/films/{id}", "put", "Puts a film", put)
                    .creates()
                    .refuses(&[StatusCode::CONFLICT]),
                Operation::writes(Method::POST, "/v1/clear", "clear", "Clears", clear),
            ],
        )
    }

    fn ask(authorization: &str, line: &str, body: &str) -> (u16, Value, Option<Audit>) {
        let tokens = Tokens::default().with("eye", Role::Read, &"r".into()).with("hand", Role::Write, &"w".into());
        let (method, target) = line.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let authorization = Some(authorization).filter(|text| !text.is_empty());
        let request = Request { method: &method, path, query, authorization, body: body.as_bytes() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(api().answer(7, &tokens, request));
        let header = answer.header.as_ref().map(|(name, _)| name.as_str());
        let wanted = match answer.status.as_u16() {
            401 => Some("www-authenticate"),
            405 => Some("allow"),
            _ => None,
        };
        assert_eq!(header, wanted, "{line}");
        let is_problem = answer.content_type == "application/problem+json";
        assert_eq!(is_problem, !answer.status.is_success(), "{line}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        if is_problem {
            assert_eq!(body["status"], answer.status.as_u16());
        }
        (answer.status.as_u16(), body, answer.audit)
    }

    #[test]
    fn statuses() {
        for (token, line, body, status) in [
            // Without a token nothing else is told, not even what there is.
            ("", "GET /v1/films", "", 401),
            ("", "GET /nothing", "", 401),
            ("", "PATCH /v1/films", "", 401),
            ("", "GET /openapi.json", "", 401),
            ("Bearer x", "PUT /v1/films/1", "{\"name\":\"a\"}", 401),
            ("Bearer r", "GET /v1/films", "", 200),
            ("Bearer w", "GET /v1/films?limit=5", "", 200),
            ("Bearer r", "GET /v1/films?limit=-5", "", 400),
            ("Bearer r", "GET /v1/films?limits=5", "", 400),
            ("Bearer r", "GET /v1/films/1", "", 405),
            ("Bearer r", "DELETE /openapi.json", "", 405),
            ("Bearer r", "GET /openapi.json", "", 200),
            ("Bearer r", "GET /nothing", "", 404),
            ("Bearer r", "PUT /v1/films/1", "{\"name\":\"a\"}", 403),
            ("Bearer w", "PUT /v1/films/1", "{\"name\":\"a\"}", 201),
            ("Bearer w", "PUT /v1/films/1", "{\"name\":\"taken\"}", 409),
            ("Bearer w", "PUT /v1/films/1", "{\"name\":1}", 400),
            ("Bearer w", "PUT /v1/films/1", "{\"name\":\"a\",\"b\":1}", 400),
            ("Bearer w", "PUT /v1/films/1", "", 400),
            ("Bearer w", "PUT /v1/films/1", "[\"a\"]", 400),
            ("Bearer w", "PUT /v1/films/1?a=b", "{\"name\":\"a\"}", 400),
            ("Bearer w", "POST /v1/clear", "", 200),
            ("Bearer w", "POST /v1/clear", "{}", 400),
        ] {
            assert_eq!(ask(token, line, body).0, status, "{token:?} {line} {body}");
        }
    }

    #[test]
    fn each_change_is_told_done_or_refused() {
        let (_, answer, audit) = ask("Bearer r", "GET /v1/films?limit=5", "");
        assert_eq!((answer, audit), (json!([7, 5]), None));
        let audit = ask("Bearer w", "PUT /v1/films/a%2Fb", "{\"name\":\"x\"}").2.unwrap();
        assert_eq!((audit.who.as_str(), audit.what, audit.target.as_str()), ("hand", "put", "film:a/b"));
        assert_eq!((audit.before, audit.after, audit.status), (Value::Null, json!({ "name": "x" }), 201));
        let audit = ask("Bearer r", "PUT /v1/films/1", "{\"name\":\"x\"}").2.unwrap();
        assert_eq!((audit.who.as_str(), audit.target.as_str(), audit.status), ("eye", "/v1/films/1", 403));
        assert!(audit.refused.is_some());
    }

    #[test]
    fn the_description_is_that_of_the_table() {
        let described: Value = serde_json::from_slice(api().description()).unwrap();
        let list = &described["paths"]["/v1/films"]["get"];
        assert_eq!(list["parameters"][0]["name"], "limit");
        assert_eq!(list["parameters"][0]["schema"]["type"], "integer");
        assert_eq!(list["x-role"], "read");
        assert!(list["responses"]["403"].is_null());
        let put = &described["paths"]["/v1/films/{id}"]["put"];
        assert_eq!(put["requestBody"]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Film");
        assert_eq!(described["components"]["schemas"]["Film"]["additionalProperties"], false);
        for status in ["201", "400", "401", "403", "404", "409", "413"] {
            assert!(put["responses"][status].is_object(), "{status}");
        }
        assert!(described["paths"]["/v1/clear"]["post"]["requestBody"].is_null());
        let problem = &described["components"]["schemas"]["Problem"];
        assert_eq!(problem["properties"]["detail"]["type"], "string");
    }
}
