//! One operation: where it is, what it takes and gives, and who does it.

use crate::path::{self, Values};
use crate::problem::Problem;
use crate::query;
use crate::shape;
use crate::tokens::Role;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// Who asks, and about what.
#[derive(Clone, Debug)]
pub struct Call {
    /// The token's name.
    pub who: Arc<str>,
    pub(crate) values: Values,
}

impl Call {
    /// The value of a parameter in the operation's path; empty if its path has none of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// What a change came to.
#[derive(Debug)]
pub struct Changed<A> {
    /// For who asked.
    pub answer: A,
    /// For the audit line: what was changed, how it was, how it is. Never a secret.
    pub target: String,
    /// Null if there was nothing.
    pub before: Value,
    /// Null if there is nothing any more.
    pub after: Value,
}

/// What a handler came to, written out.
pub(crate) struct Outcome {
    pub(crate) body: Vec<u8>,
    pub(crate) note: Option<Note>,
}

/// What of a change goes into its audit line.
pub(crate) struct Note {
    pub(crate) target: String,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

type Describe = fn(&mut SchemaGenerator) -> Schema;
type Handler<S> = Box<dyn Fn(S, Call, &str, &[u8]) -> BoxFuture<'static, Result<Outcome, Problem>> + Send + Sync>;

/// One row of the table. `S` is what handlers work on.
pub struct Operation<S> {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) role: Role,
    pub(crate) status: StatusCode,
    /// The schema of its query, without references.
    pub(crate) query: Option<Value>,
    pub(crate) body: Option<Describe>,
    pub(crate) answer: Describe,
    pub(crate) problems: Vec<StatusCode>,
    pub(crate) handler: Handler<S>,
}

impl<S> fmt::Debug for Operation<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.method, self.path)
    }
}

impl<S: Send + 'static> Operation<S> {
    /// A GET that changes nothing. `Q` is its query, `()` if it takes none.
    pub fn reads<Q, A, F>(
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        read: impl Fn(S, Call, Q) -> F + Send + Sync + 'static,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        A: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        let query = object::<Q>();
        let properties = query.as_ref().map(properties).unwrap_or_default();
        let handler: Handler<S> = Box::new(move |state, call, query, _body| {
            let asked = query::read(query, &properties).and_then(|query| parsed_query(&properties, query));
            let answer = asked.map(|query| read(state, call, query));
            Box::pin(async move { Ok(Outcome { body: written(&answer?.await?)?, note: None }) })
        });
        let answer = describe::<A> as Describe;
        Self::new(Method::GET, path, id, summary, Role::Read, (query, None, answer), handler)
    }

    /// A change. `B` is its JSON body, `()` if it takes none.
    pub fn writes<B, A, F>(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        write: impl Fn(S, Call, B) -> F + Send + Sync + 'static,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        A: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<Changed<A>, Problem>> + Send + 'static,
    {
        let shape = object::<B>();
        let bodied = shape.is_some();
        let handler: Handler<S> = Box::new(move |state, call, query, body| {
            let asked = query::read(query, &Map::new()).and_then(|_| parsed_body(body, shape.as_ref()));
            let answer = asked.map(|body| write(state, call, body));
            Box::pin(async move {
                let Changed { answer, target, before, after } = answer?.await?;
                Ok(Outcome { body: written(&answer)?, note: Some(Note { target, before, after }) })
            })
        });
        let body = bodied.then_some(describe::<B> as Describe);
        Self::new(method, path, id, summary, Role::Write, (None, body, describe::<A>), handler)
    }

    fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        role: Role,
        (query, body, answer): (Option<Value>, Option<Describe>, Describe),
        handler: Handler<S>,
    ) -> Self {
        let mut problems = vec![StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST];
        if role == Role::Write {
            problems.push(StatusCode::FORBIDDEN);
        }
        if body.is_some() {
            problems.push(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if path::names(path).next().is_some() {
            problems.push(StatusCode::NOT_FOUND);
        }
        Self { method, path, id, summary, role, status: StatusCode::OK, query, body, answer, problems, handler }
    }

    /// Whether it changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.role == Role::Write
    }

    /// Success is 201.
    #[must_use]
    pub fn creates(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// It may also be refused with these.
    #[must_use]
    pub fn refuses(mut self, statuses: &[StatusCode]) -> Self {
        let new = statuses.iter().filter(|status| !self.problems.contains(status)).copied().collect::<Vec<_>>();
        self.problems.extend(new);
        self
    }
}

fn describe<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schema of an object, without references; `None` of `()`.
fn object<T: JsonSchema>() -> Option<Value> {
    if is_nothing::<T>() {
        return None;
    }
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    Some(settings.into_generator().into_root_schema_for::<T>().to_value())
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn is_nothing<T: JsonSchema>() -> bool {
    schemars::schema_for!(T).get("type").and_then(Value::as_str) == Some("null")
}

fn parsed_query<Q: DeserializeOwned>(properties: &Map<String, Value>, query: Value) -> Result<Q, Problem> {
    let query = if properties.is_empty() { Value::Null } else { query };
    serde_json::from_value(query).map_err(|error| Problem::bad_request(error.to_string()))
}

fn parsed_body<B: DeserializeOwned>(body: &[u8], shape: Option<&Value>) -> Result<B, Problem> {
    let bad = |error: serde_json::Error| Problem::bad_request(error.to_string());
    let value = match (shape, body.is_empty()) {
        (Some(_), true) => return Err(Problem::bad_request("this takes a JSON body")),
        (None, false) => return Err(Problem::bad_request("this takes no body")),
        (None, true) => Value::Null,
        (Some(shape), false) => {
            let value = serde_json::from_slice(body).map_err(bad)?;
            shape::check(&value, shape)?;
            value
        }
    };
    serde_json::from_value(value).map_err(bad)
}

fn written(answer: &impl Serialize) -> Result<Vec<u8>, Problem> {
    let failed = |error: serde_json::Error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let mut body = serde_json::to_vec_pretty(answer).map_err(failed)?;
    body.push(b'\n');
    Ok(body)
}
