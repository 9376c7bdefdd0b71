//! The admin API, asked as an operator's script would.

use crate::Failure;
use crate::client::Client;
use crate::settings::ADMIN_TOKEN;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// An answer of the admin API.
#[derive(Debug)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null if it is no JSON.
    pub body: Value,
}

impl Client {
    /// One request with a JSON body, or none, and the operator's token.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Told, Failure> {
        self.api_as(Some(ADMIN_TOKEN), method, path, body).await
    }

    /// As [`Self::api`], with another token or none.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn api_as(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Told, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "admin");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        driver.abort();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Told { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}
