//! One member of a classic group.

use super::classic::MemberMetadata;
use super::messages::{GroupError, Join, JoinAnswer, Protocol};
use crate::coordinator::RequestId;
use bytes::{Buf, Bytes};

/// Memory of a member beside its strings and bytes, roughly: its places in maps and timers.
const MEMBER_OVERHEAD_BYTES: usize = 512;

/// A member. Owned by its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id, given by the group.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// `consumer`, `connect`, or what else.
    pub protocol_type: String,
    /// In order of preference.
    pub protocols: Vec<Protocol>,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its share in this generation.
    pub assignment: Bytes,
    /// Its join that is not answered yet.
    pub awaiting_join: Option<RequestId>,
    /// Its sync that is not answered yet.
    pub awaiting_sync: Option<RequestId>,
    /// It has never been told a generation, so it cannot send heartbeats and its wait has an end.
    pub is_new: bool,
}

impl Member {
    /// Someone new, waiting for the answer to this request.
    pub fn arriving(id: String, join: Join, request: RequestId) -> Self {
        Self {
            id,
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            protocol_type: join.protocol_type,
            protocols: own_protocols(join.protocols),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            assignment: Bytes::new(),
            awaiting_join: Some(request),
            awaiting_sync: None,
            is_new: true,
        }
    }

    /// As the log knows it.
    pub fn restore(stored: MemberMetadata, protocol: &str) -> Self {
        Self {
            id: stored.member_id,
            instance_id: stored.instance_id,
            client_id: stored.client_id,
            client_host: stored.client_host,
            protocol_type: String::new(),
            protocols: vec![Protocol { name: protocol.to_owned(), metadata: own(&stored.subscription) }],
            rebalance_timeout_ms: stored.rebalance_timeout_ms,
            session_timeout_ms: stored.session_timeout_ms,
            assignment: own(&stored.assignment),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    /// What it said under this protocol.
    pub fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let said = self.protocols.iter().find(|known| Some(known.name.as_str()) == protocol);
        said.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    /// What the log keeps of it.
    pub fn metadata_record(&self, protocol: Option<&str>, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// Silence does not count while it waits for an answer, except for someone new.
    pub fn is_excused(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        let protocols: usize =
            self.protocols.iter().map(|known| known.name.len() + known.metadata.len()).sum();
        let texts = self.id.len() + self.client_id.len() + self.client_host.len();
        MEMBER_OVERHEAD_BYTES + texts + protocols + self.assignment.len()
    }
}

impl JoinAnswer {
    /// A no.
    pub fn refused(member_id: &str, error: GroupError) -> Self {
        Self {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            member_id: member_id.to_owned(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

/// In memory of its own: what came with a request or a record is a slice that holds the whole frame or batch, which nobody
/// counts, for as long as the member lives.
pub(super) fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The same for what a member said under each protocol.
pub(super) fn own_protocols(mut protocols: Vec<Protocol>) -> Vec<Protocol> {
    for protocol in &mut protocols {
        protocol.metadata = own(&protocol.metadata);
    }
    protocols
}

/// The topics in a consumer's subscription: version, then an array of strings, in every version so far.
pub(super) fn subscription_topics(subscription: &Bytes) -> Option<Vec<String>> {
    let mut rest = &subscription[..];
    let _version = rest.try_get_i16().ok()?;
    let count = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    let mut topics = Vec::with_capacity(count.min(rest.len() / 2));
    for _ in 0..count {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let name = rest.get(..length)?;
        topics.push(std::str::from_utf8(name).ok()?.to_owned());
        rest.advance(length);
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_does_not_hold_the_frame_that_it_came_in() {
        let frame = Bytes::from(vec![7; 4096]);
        let protocols = vec![Protocol { name: "range".to_owned(), metadata: frame.slice(100..120) }];
        let kept = own_protocols(protocols);
        assert!(frame.is_unique(), "nobody else holds it");
        assert_eq!(kept[0].metadata, [7; 20][..]);
    }

    #[test]
    fn topics_are_read_from_a_subscription_of_any_version() {
        let mut bytes = vec![0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c'];
        assert_eq!(subscription_topics(&bytes.clone().into()), Some(vec!["a".to_owned(), "bc".to_owned()]));
        bytes.extend([0xff; 7]); // user data and what later versions append
        assert_eq!(subscription_topics(&bytes.into()), Some(vec!["a".to_owned(), "bc".to_owned()]));
    }

    #[test]
    fn a_subscription_whose_counts_lie_is_not_believed() {
        assert_eq!(subscription_topics(&Bytes::new()), None);
        assert_eq!(subscription_topics(&Bytes::from_static(&[0, 0, 0x7f, 0xff, 0xff, 0xff])), None);
        assert_eq!(subscription_topics(&Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 9, b'a'])), None);
        assert_eq!(subscription_topics(&Bytes::from_static(&[0, 0, 0xff, 0xff, 0xff, 0xff])), None);
    }
}
