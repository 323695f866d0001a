//! ApiVersions: what is served, from the one table.

use super::RequestContext;
use crate::shard::Shard;
use crate::wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::{Answer, ErrorCode, RequestHeader, versions};
use std::rc::Rc;

/// ApiVersions 0-4.
pub(super) async fn api_versions(
    _shard: &Rc<Shard>,
    context: &RequestContext,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let named = |text: &str| {
        // KIP-511: letters, digits, '-' and '.', no separator at either end.
        let inner = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        let ends = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric());
        inner && ends
    };
    let sound = context.header.api_version < 3
        || (named(&request.client_software_name) && named(&request.client_software_version));
    if !sound {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest,
            ..ApiVersionsResponse::default()
        };
    }
    versions::api_versions()
}

/// KIP-511: a version that is not served gets the error in version 0, with what is served of this API.
pub(super) fn unsupported(header: &RequestHeader) -> Answer {
    Answer::of(&RequestHeader { api_version: 0, ..header.clone() }, &versions::api_versions_unsupported())
}
