//! The crate `kafka-protocol` reads what is written here, and writes the same bytes again.

use super::probe::Probe;
use super::{each_api, encoded};
use crate::wire::{ErrorCode, Message, form};
use bytes::{Buf as _, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const SAMPLES: u64 = 25;

fn agrees<M: Message + Probe, T: TheirMessage + Decodable + Encodable>() {
    let known = T::VERSIONS.min..=T::VERSIONS.max;
    for version in M::VERSIONS.filter(|version| known.contains(version)) {
        for seed in 0..SAMPLES {
            let mut random = StdRng::seed_from_u64(seed);
            let bytes = encoded(&M::sample(&mut random, form::<M>(version)), version);
            let mut rest = bytes.clone();
            let read = T::decode(&mut rest, version)
                .unwrap_or_else(|error| panic!("{} v{version} seed {seed}: {error}", M::NAME));
            assert_eq!(rest.remaining(), 0, "{} v{version} seed {seed}", M::NAME);
            let mut again = BytesMut::new();
            read.encode(&mut again, version)
                .unwrap_or_else(|error| panic!("{} v{version} seed {seed}: {error}", M::NAME));
            assert_eq!(again, bytes, "{} v{version} seed {seed}", M::NAME);
        }
    }
}

macro_rules! compare {
    ($($api:ident $request:ident $response:ident,)*) => {
        $( agrees::<$request, theirs::$request>(); agrees::<$response, theirs::$response>(); )*
    };
}

#[test]
fn another_implementation_reads_and_writes_the_same_bytes() {
    use crate::wire::{fetch::*, messages::*};
    each_api!(compare);
}

#[test]
fn another_implementation_has_no_error_that_is_missing_here() {
    for code in -1..=200 {
        let theirs = kafka_protocol::ResponseError::try_from_code(code);
        if let Some(theirs) =
            theirs.filter(|error| !matches!(error, kafka_protocol::ResponseError::Unknown(_)))
        {
            let ours = ErrorCode::from_i16(code).unwrap_or_else(|| panic!("{code} is {theirs:?}"));
            // Theirs drops a word here and there; what is left must begin alike.
            assert_eq!(ours.name()[..4], format!("{theirs:?}")[..4], "{code}");
        }
    }
}
