//! Random values of every type of field, and how Kafka spells a value as JSON.

use crate::wire::codes::ErrorCode;
use crate::wire::field::{Element, Field, Form};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use serde_json::{Value, json};
use uuid::Uuid;

/// A field that can be made up and told.
pub(in crate::wire) trait Probe: Field {
    /// A random value that the form can hold.
    fn sample(random: &mut StdRng, form: Form) -> Self;
    /// As Kafka's own converters spell it.
    fn json(&self, form: Form) -> Value;
}

/// `throttle_time_ms` as Kafka's JSON has it: `throttleTimeMs`.
pub(in crate::wire) fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        name.push_str(&first.to_uppercase());
        name.push_str(rest);
    }
    name
}

macro_rules! numbers {
    ($($type:ty)*) => { $(
        impl Probe for $type {
            fn sample(random: &mut StdRng, _form: Form) -> Self {
                random.random()
            }
            fn json(&self, _form: Form) -> Value {
                json!(self)
            }
        }
    )* };
}
numbers! { bool i8 i16 i32 i64 u16 f64 }

impl Probe for ErrorCode {
    fn sample(random: &mut StdRng, _form: Form) -> Self {
        Self::ALL[random.random_range(0..Self::ALL.len())]
    }
    fn json(&self, _form: Form) -> Value {
        json!(self.code())
    }
}

impl Probe for Uuid {
    fn sample(random: &mut StdRng, _form: Form) -> Self {
        Self::from_u128(random.random())
    }
    fn json(&self, _form: Form) -> Value {
        json!(URL_SAFE_NO_PAD.encode(self.as_bytes()))
    }
}

impl Probe for String {
    fn sample(random: &mut StdRng, _form: Form) -> Self {
        // Lengths around 128 change the size of a compact length.
        let characters =
            if random.random_bool(0.1) { random.random_range(120..135) } else { random.random_range(0..9) };
        (0..characters).map(|_| random.random_range('a'..='ÿ')).collect()
    }
    fn json(&self, _form: Form) -> Value {
        json!(self)
    }
}

impl Probe for Bytes {
    fn sample(random: &mut StdRng, _form: Form) -> Self {
        let mut bytes = vec![0; random.random_range(0..200)];
        random.fill_bytes(&mut bytes);
        bytes.into()
    }
    fn json(&self, _form: Form) -> Value {
        json!(STANDARD.encode(self))
    }
}

/// Record bytes read as one slice, so that is what is made up; none is spelled as empty.
impl Probe for Vec<Bytes> {
    fn sample(random: &mut StdRng, form: Form) -> Self {
        Some(Bytes::sample(random, form)).filter(|bytes| !bytes.is_empty()).into_iter().collect()
    }
    fn json(&self, form: Form) -> Value {
        Bytes::from(self.concat()).json(form)
    }
}

macro_rules! nullable {
    ($(($($generic:tt)*) $type:ty;)*) => { $(
        impl $($generic)* Probe for Option<$type> {
            fn sample(random: &mut StdRng, form: Form) -> Self {
                let is_null = form.nullable && random.random_bool(0.3);
                (!is_null).then(|| Probe::sample(random, form))
            }
            fn json(&self, form: Form) -> Value {
                self.as_ref().map_or(Value::Null, |value| value.json(form))
            }
        }
    )* };
}
nullable! {
    () String;
    () Bytes;
    (<T: Probe + Element>) Vec<T>;
}

impl<T: Probe + Element> Probe for Vec<T> {
    fn sample(random: &mut StdRng, form: Form) -> Self {
        (0..random.random_range(0..4)).map(|_| T::sample(random, form.with_null(false))).collect()
    }
    fn json(&self, form: Form) -> Value {
        self.iter().map(|element| element.json(form)).collect()
    }
}
