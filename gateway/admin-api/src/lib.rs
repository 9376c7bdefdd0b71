//! One table of operations, of which the admin API is made: what routes a request is what describes it.
//!
//! What it does: finds the operation of a request, judges its token, reads its query and body into the types that the operation's handler takes,
//! writes what the handler gives, refuses by problem details (RFC 9457), tells what was changed by whom, and describes all of it as OpenAPI 3.1 out of those
//! same types.
//! What it refuses to do: listen, log, know what an operation is about. Who calls it: `edge`, which has the handlers and the listener. What stays true:
//! without a good token nothing but 401 is answered, whatever the path; whoever may only read changes nothing; each change gives an [`Audit`], done or refused;
//! a token stands in no answer.

mod api;
mod openapi;
mod operation;
mod path;
mod problem;
mod query;
mod shape;
mod tokens;

pub use api::{Answer, Api, Audit, Request};
pub use operation::{Call, Changed, Operation};
pub use problem::Problem;
pub use tokens::{Role, Tokens};
