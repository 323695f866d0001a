//! `InitProducerId`: identities for idempotent producers.

use super::{RequestContext, counted};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::rc::Rc;

/// `InitProducerId` 0-5.
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
    if let Err(code) = check(&request) {
        return refuse(code);
    }
    match shard.cluster.producer_id(shard).await {
        Ok(producer_id) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..InitProducerIdResponse::default() }
        }
        Err(error) => {
            tracing::warn!(%error, "no producer id can be given");
            // What Kafka answers while it has no block of ids: clients ask again.
            refuse(ErrorCode::CoordinatorLoadInProgress)
        }
    }
}

/// Transactional ids are refused until transactions are served. The code is the one that every client takes for the
/// end of the producer: others are retried for ever, or (`UNSUPPORTED_VERSION`) taken for an old broker.
fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    match request.transactional_id.as_deref() {
        Some("") => return Err(ErrorCode::InvalidRequest),
        Some(_) => return Err(ErrorCode::TransactionalIdAuthorizationFailed),
        None => {}
    }
    // KIP-360: a producer that has both names what it was; without a transactional id it gets a new one all the same.
    if (request.producer_id == -1) == (request.producer_epoch == -1) {
        Ok(())
    } else {
        Err(ErrorCode::InvalidRequest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_refuses_is_refused() {
        let request = |id: Option<&str>, producer_id, producer_epoch| InitProducerIdRequest {
            transactional_id: id.map(str::to_owned),
            producer_id,
            producer_epoch,
            ..InitProducerIdRequest::default()
        };
        assert_eq!(check(&request(None, -1, -1)), Ok(()));
        assert_eq!(check(&request(None, 5, 3)), Ok(()));
        assert_eq!(check(&request(None, 5, -1)), Err(ErrorCode::InvalidRequest));
        assert_eq!(check(&request(None, -1, 3)), Err(ErrorCode::InvalidRequest));
        assert_eq!(check(&request(None, -2, -1)), Err(ErrorCode::InvalidRequest));
        assert_eq!(check(&request(Some(""), -1, -1)), Err(ErrorCode::InvalidRequest));
        let refused = check(&request(Some("mine"), -1, -1));
        assert_eq!(refused, Err(ErrorCode::TransactionalIdAuthorizationFailed));
    }
}
