//! `JoinGroup`, `SyncGroup`, Heartbeat and `LeaveGroup`: between the wire's versions and what a group understands.

use super::home::ask;
use crate::api::RequestContext;
use crate::coordinator::HostError;
use crate::group::{
    Answer, Command, GroupError, Heartbeat, Join, JoinAnswer, Leave, LeaveAnswer, LeaveMember, Protocol, Sync,
};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
    LeaveGroupRequest, LeaveGroupResponse, MemberResponse, SyncGroupRequest, SyncGroupResponse,
};
use std::rc::Rc;

use super::AskError;

/// `JoinGroup` 0-9.
pub async fn join_group(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let version = context.header.api_version;
    let client_id = context.header.client_id.clone().unwrap_or_default();
    let (group_id, member_id) = (request.group_id.clone(), request.member_id.clone());
    // KIP-345: a static member's id says which instance it is.
    let stem = request.group_instance_id.as_deref().unwrap_or(&client_id);
    let protocols = request.protocols.into_iter();
    let join = Join {
        group_id: request.group_id,
        member_id: request.member_id,
        member_id_new: format!("{stem}-{}", uuid::Uuid::new_v4()),
        instance_id: request.group_instance_id,
        client_id,
        client_host: format!("/{}", context.client_host),
        protocol_type: request.protocol_type,
        protocols: protocols.map(|one| Protocol { name: one.name, metadata: one.metadata }).collect(),
        session_timeout_ms: request.session_timeout_ms,
        // JoinGroup v0 knows one timeout for both.
        rebalance_timeout_ms: if version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        known_id_required: version >= 4,
        may_skip_assignment: version >= 9,
    };
    match ask(shard, &group_id, Command::Join(join)).await {
        Ok(Answer::Join(answer)) => joined(version, answer),
        Ok(other) => unreachable!("a join was answered with {other:?}"),
        Err(error) => JoinGroupResponse {
            error_code: error.into(),
            ..joined(version, JoinAnswer::refused(&member_id, GroupError::NotAvailable))
        },
    }
}

fn joined(version: i16, answer: JoinAnswer) -> JoinGroupResponse {
    let members = answer.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        metadata: member.metadata,
    });
    JoinGroupResponse {
        error_code: answer.error.map_or(ErrorCode::None, ErrorCode::from),
        generation_id: answer.generation,
        protocol_type: answer.protocol_type,
        // Before v7 the protocol's name is not nullable.
        protocol_name: answer.protocol.or_else(|| (version < 7).then(String::new)),
        leader: answer.leader,
        skip_assignment: answer.skip_assignment,
        member_id: answer.member_id,
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

/// `SyncGroup` 0-5.
pub async fn sync_group(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let refused = |error_code| SyncGroupResponse { error_code, ..SyncGroupResponse::default() };
    // KIP-559: from v5 a member must say which protocol it means.
    let says_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.header.api_version >= 5 && !says_protocol {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    let group_id = request.group_id.clone();
    let assignments = request.assignments.into_iter();
    let sync = Sync {
        group_id: request.group_id,
        generation: request.generation_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: assignments.map(|one| (one.member_id, one.assignment)).collect(),
    };
    match ask(shard, &group_id, Command::Sync(sync)).await {
        Ok(Answer::Sync(Ok(answer))) => SyncGroupResponse {
            protocol_type: answer.protocol_type,
            protocol_name: answer.protocol,
            assignment: answer.assignment,
            ..SyncGroupResponse::default()
        },
        Ok(Answer::Sync(Err(error))) => refused(error.into()),
        Ok(other) => unreachable!("a sync was answered with {other:?}"),
        Err(error) => refused(error.into()),
    }
}

/// Heartbeat 0-4.
pub async fn heartbeat(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let group_id = request.group_id.clone();
    let heartbeat = Heartbeat {
        group_id: request.group_id,
        generation: request.generation_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
    };
    let error_code = match ask(shard, &group_id, Command::Heartbeat(heartbeat)).await {
        // While groups load sessions have not begun: the member is as good as heard.
        Ok(Answer::Heartbeat(Ok(()))) | Err(AskError::Host(HostError::Loading)) => ErrorCode::None,
        Ok(Answer::Heartbeat(Err(error))) => error.into(),
        Ok(other) => unreachable!("a heartbeat was answered with {other:?}"),
        Err(error) => error.into(),
    };
    HeartbeatResponse { error_code, ..HeartbeatResponse::default() }
}

/// `LeaveGroup` 0-5: one member up to v2, several from v3.
pub async fn leave_group(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let is_batched = context.header.api_version >= 3;
    let members: Vec<LeaveMember> = if is_batched {
        let each = request.members.into_iter();
        each.map(|one| LeaveMember { member_id: one.member_id, instance_id: one.group_instance_id }).collect()
    } else {
        vec![LeaveMember { member_id: request.member_id, instance_id: None }]
    };
    let leave = Leave { group_id: request.group_id.clone(), members: members.clone() };
    let left = match ask(shard, &request.group_id, Command::Leave(leave)).await {
        Ok(Answer::Leave(left)) => left,
        Ok(other) => unreachable!("a leave was answered with {other:?}"),
        Err(error) => return left_nobody(error.into()),
    };
    let left = match left {
        // Of a group that is not there everyone has left, one by one.
        Err(GroupError::UnknownMemberId) => {
            let unknown = |member| LeaveAnswer { member, error: Some(GroupError::UnknownMemberId) };
            members.into_iter().map(unknown).collect()
        }
        Err(error) => return left_nobody(error.into()),
        Ok(left) => left,
    };
    let code = |answer: &LeaveAnswer| answer.error.map_or(ErrorCode::None, ErrorCode::from);
    if !is_batched {
        let error_code = left.first().map_or(ErrorCode::None, code);
        return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    }
    let members = left.into_iter().map(|answer| MemberResponse {
        error_code: code(&answer),
        member_id: answer.member.member_id,
        group_instance_id: answer.member.instance_id,
    });
    LeaveGroupResponse { members: members.collect(), ..LeaveGroupResponse::default() }
}

fn left_nobody(error_code: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() }
}
