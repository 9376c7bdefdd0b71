//! stub
use crate::state::Shared;
#[derive(Default)]
pub(crate) struct Exchange;
impl Exchange {
    pub(crate) fn step(&mut self, _shared: &Shared, _dc: i32, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
