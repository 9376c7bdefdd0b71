//! Eighth step: the media is described, and ads plugins let the request pass or send it away.

use crate::permit::Permitted;
use crate::refusal::Refusal;
use cache::{Cache, Media};
use plugin_host::{Ads, Chain, Cookie};

/// A request whose answer can be planned: media known, gates passed.
pub(crate) struct Cleared<'a> {
    pub(crate) permitted: Permitted<'a>,
    pub(crate) media: Media,
    pub(crate) cookies: Vec<Cookie>,
    /// Rewrites playlists, if the tenant has ads plugins.
    pub(crate) ads: Option<Chain>,
}

/// Asks the cache, and through it the hive, for the media's description, then the ads chain.
pub(crate) async fn clear<'a>(
    permitted: Permitted<'a>,
    cache: &Cache,
    ads: Option<Chain>,
) -> Result<Cleared<'a>, Refusal> {
    let media = looked_up(&permitted, cache).await?;
    let cookies = match (&ads, &permitted.request) {
        (Some(ads), Some(request)) => {
            let meta = media.meta();
            request.set_found(meta.size, Some(meta.content_type.clone()));
            let tenant = &permitted.identified.authorized.tenant;
            let mut cookies = decided(Box::pin(ads.ads(request)).await)?;
            // Who a viewer is, is the frontend's and the gateway's to say.
            cookies.retain(|cookie| !tenant.is_credential(&cookie.name));
            cookies
        }
        _ => Vec::new(),
    };
    Ok(Cleared { permitted, media, cookies, ads })
}

async fn looked_up(permitted: &Permitted<'_>, cache: &Cache) -> Result<Media, Refusal> {
    let authorized = &permitted.identified.authorized;
    let media = cache.media(authorized.media).await?;
    authorized.still(media.meta())?;
    authorized.watch.judge(authorized.media, &media).await?;
    Ok(media)
}

fn decided(ads: Ads) -> Result<Vec<Cookie>, Refusal> {
    match ads {
        Ads::Proceed { cookies } => Ok(cookies),
        Ads::Redirect { plugin, url, cookies } => Err(Refusal::Redirected { plugin, url, cookies }),
        Ads::Failed { plugin, failure } => Err(Refusal::PluginFailed { plugin, reason: failure.to_string() }),
    }
}

impl Cleared<'_> {
    /// Looks at the media again: it changed between its description and its first byte.
    pub(crate) async fn again(&mut self, cache: &Cache) -> Result<(), Refusal> {
        self.media = looked_up(&self.permitted, cache).await?;
        Ok(())
    }
}
