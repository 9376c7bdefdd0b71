//! The gateway's side of the gateway-to-hive contract: a slice origin over HTTP.
