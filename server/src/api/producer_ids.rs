//! InitProducerId: identities for idempotent producers.

use super::{RequestContext, counted};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::rc::Rc;

/// InitProducerId 0-5. Transactional ids are refused: transactions are not served.
pub(super) async fn init_producer_id(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refuse = |code| InitProducerIdResponse {
        error_code: counted(shard, code),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    match request.transactional_id.as_deref() {
        Some("") => return refuse(ErrorCode::InvalidRequest),
        Some(_) => return refuse(ErrorCode::TransactionalIdAuthorizationFailed),
        None => {}
    }
    match shard.cluster.producer_id(shard).await {
        Ok(producer_id) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..InitProducerIdResponse::default() }
        }
        Err(error) => {
            tracing::warn!(%error, "no producer id can be given");
            refuse(ErrorCode::CoordinatorNotAvailable)
        }
    }
}
