//! Close a connection that works and open it again, as clients that come and go do.
//!
//! No batch leaves between the plan's time and the broker's first answer on the new connection.
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::StrBytes;

use super::{Context, Sender};
use crate::client::{Frame, LinkState, code_name, decode, encode};

/// On the way from a connection that works to the next one, because the plan says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reopening {
    /// When the connection was meant to be closed.
    pub(super) intended: Duration,
    /// What was asked on the new one, and when.
    pub(super) hello: Option<(i32, Duration)>,
    /// The old one is closed.
    pub(super) is_closed: bool,
}

impl Sender {
    /// The connection is to be closed once its answers are there, and opened again; one that is on this way already, or
    /// that has nothing more to send, is left alone.
    pub fn ask_reopen(&mut self, intended: Duration, now: Duration) {
        if self.reopening.is_none() && self.link.state() == LinkState::Up && !self.is_finished(now) {
            self.reopening = Some(Reopening { intended, hello: None, is_closed: false });
            self.is_held_back = true;
        }
    }

    /// The next step of closing and opening again that can be done now.
    pub(super) fn reopen(&mut self, context: &mut Context<'_>, now: Duration) {
        let Some(reopening) = &mut self.reopening else { return };
        if !reopening.is_closed && self.in_flight.is_empty() {
            reopening.is_closed = true;
            self.link.close();
            return self.connect(context, now);
        }
        if reopening.is_closed && reopening.hello.is_none() && self.link.state() == LinkState::Up {
            self.correlation_id = self.correlation_id.wrapping_add(1);
            reopening.hello = Some((self.correlation_id, now));
            let hello = ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str("thalweg-loadgen"))
                .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
            let plan = context.plan;
            match encode(&hello, plan.hello_version, self.correlation_id, &plan.client_id) {
                Ok(head) => self.link.send(Frame { head: head.into(), body: None, tail: &[] }),
                Err(error) => self.fail(context, now, &error.to_string()),
            }
        }
    }

    /// The first answer on a new connection.
    pub(super) fn on_hello(&mut self, answer: Bytes, asked: i32, context: &mut Context<'_>, now: Duration) {
        match decode::<ApiVersionsRequest>(answer, context.plan.hello_version, asked) {
            Ok(told) if told.error_code == 0 => {
                if let Some(reopening) = self.reopening.take() {
                    context.recorder.on_reopened(reopening.intended, now);
                }
            }
            Ok(told) => self.fail(context, now, &format!("ApiVersions: {}", code_name(told.error_code))),
            Err(error) => self.fail(context, now, &error.to_string()),
        }
    }
}
