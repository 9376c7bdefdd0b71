//! The public edge: pingora listeners, the request flow, refusals, metrics and the gateway command.
