//! The media face for virtual files: one description or one body, whatever it is made of.

use crate::joined::{Joined, lasting};
use crate::media::{Face, Found, accept, head_of, refused};
use crate::refusal::Refusal;
use crate::sending::Sending;
use axum::body::Body;
use axum::response::Response;
use catalog::{Manifest, Part};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use mtproto::{Account, MessageRef};
use pool::{Freshness, Pool, PoolFault};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Span;
use wire::{ContentRange, Entity, Fault, MediaRequest, Slug};

/// Parts that are looked for at once.
pub(crate) const AT_ONCE: usize = 8;

impl Face {
    /// Answers for a virtual file. A description looks for every part, so that a file of which one is gone is not promised; what was
    /// seen within the location's time is not asked for again. A body looks for the parts that it is made of, as it gets to them.
    pub(crate) async fn answer_virtual(
        &self,
        asked: &MediaRequest,
        slug: Slug,
        started: Instant,
    ) -> Result<Response, Refusal> {
        let manifest = self.files.manifest(slug).await?;
        let spans = manifest.spans().ok_or_else(|| Refusal::from(Fault::UpstreamReset))?;
        let (range, entity) = accept(asked, entity(&manifest))?;
        let found = Found::Virtual(spans);
        if let Some(fault) = self.files.broken().known(&manifest, Instant::now()).filter(|_| !asked.no_cache) {
            return Err(refused(fault));
        }
        if asked.head {
            self.look_at(&manifest, asked.no_cache).await.map_err(refused)?;
            return head_of(&found, &entity, &range, None).map(|head| head.map(|()| Body::empty()));
        }
        let partial = asked.range.map(|range| ContentRange { first: range.first, last: range.last, size: entity.size });
        let head = head_of(&found, &entity, &range, partial)?;
        let broken = Arc::clone(self.files.broken());
        let freshness = if asked.no_cache { Freshness::Now } else { Freshness::Recent };
        let body = Joined::open(&self.pool, &manifest, &range, freshness, broken).await.map_err(refused)?;
        self.metrics.first_byte.observe(started.elapsed().max(Duration::from_micros(1)).as_secs_f64());
        let length = range.end - range.start;
        let sending = Sending::new(Box::pin(body), length, self.stall, Arc::clone(&self.metrics), Span::current());
        Ok(head.map(|()| Body::new(sending)))
    }

    /// Every part is the document that it was when the manifest was made.
    async fn look_at(&self, manifest: &Manifest, anew: bool) -> Result<(), PoolFault> {
        let looks: Vec<_> =
            manifest.parts.iter().map(|part| look_at(self.pool.clone(), part.clone(), anew).boxed()).collect();
        let looked = stream::iter(looks).buffered(AT_ONCE).try_for_each(|()| ready(Ok(()))).await;
        looked.inspect_err(|fault| {
            self.files.broken().learn(manifest.slug, &manifest.etag, fault, Instant::now());
        })
    }
}

async fn look_at(pool: Pool<Account>, part: Part, anew: bool) -> Result<(), PoolFault> {
    let message = MessageRef { chat_id: part.chat_id, message_id: part.message_id };
    let freshness = if anew { Freshness::Now } else { Freshness::Recent };
    let location = pool.describe(message, freshness).await.map_err(lasting)?;
    if location.identity.etag() == part.identity { Ok(()) } else { Err(PoolFault::Changed) }
}

fn entity(manifest: &Manifest) -> Entity {
    Entity {
        etag: manifest.etag.clone(),
        size: manifest.size(),
        content_type: manifest.content_type.clone(),
        last_modified: Some(manifest.changed),
        file_name: Some(manifest.name.clone()),
    }
}
