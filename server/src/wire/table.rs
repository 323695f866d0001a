//! From one table per message: the struct, its defaults, and decoding, encoding and size in every version.
//!
//! ```text
//! message Name (0..=5, flexible 4) {           versions known, first flexible one
//!     throttle_time_ms: i32 [1..],             versions that have the field, in the order of the wire
//!     members: Option<Vec<Member>> [0..; null 2..] = Some(Vec::new()),   null from 2; Kafka's default
//!     epoch: i64 [3..; tag 1 = -1],            a tagged field and its default; they come last, in the order of their tags
//! }
//! struct Member { ... }                        a part of messages; flexible where its message is
//! ```
//! A field that a version does not have keeps its default when read and is left out when written. A tagged field is
//! written only when it differs from its default, as Kafka does.

/// Messages and their parts, as in the head of this file.
macro_rules! messages {
    () => {};
    ($(#[$meta:meta])* message $name:ident ($low:literal ..= $high:literal, flexible $flexible:expr)
        { $($fields:tt)* } $($rest:tt)*) => {
        $crate::wire::table::structure! { $(#[$meta])* $name { $($fields)* } }
        impl $crate::wire::Message for $name {
            const NAME: &'static str = stringify!($name);
            const VERSIONS: std::ops::RangeInclusive<i16> = $low..=$high;
            const FLEXIBLE_SINCE: i16 = $flexible;
        }
        $crate::wire::table::messages! { $($rest)* }
    };
    ($(#[$meta:meta])* struct $name:ident { $($fields:tt)* } $($rest:tt)*) => {
        $crate::wire::table::structure! { $(#[$meta])* $name { $($fields)* } }
        $crate::wire::table::messages! { $($rest)* }
    };
}

/// One structure of fields.
macro_rules! structure {
    (
        $(#[$meta:meta])*
        $name:ident { $(
            $(#[$field_meta:meta])*
            $field:ident : $type:ty [ $versions:expr $(; null $null:expr)? $(; tag $tag:literal = $absent:expr)? ] $(= $default:expr)?,
        )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $(
            $(#[$field_meta])*
            #[doc = concat!(
                "In versions `", stringify!($versions), "`",
                $("; null in `", stringify!($null), "`",)?
                $("; tagged field ", stringify!($tag), ", absent when `", stringify!($absent), "`",)?
                $("; default `", stringify!($default), "`",)?
                "."
            )]
            pub $field: $type,
        )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::wire::table::default_of!($($default)? $($absent)?), )* }
            }
        }

        impl $crate::wire::field::Element for $name {}

        #[cfg(test)]
        impl $crate::wire::tests::probe::Probe for $name {
            fn sample(random: &mut rand::rngs::StdRng, form: $crate::wire::field::Form) -> Self {
                let _ = &random;
                let mut value = Self::default();
                $(
                    if ($versions).contains(&form.version) {
                        let is_tagged = !$crate::wire::table::untagged!($($tag)?);
                        let form = form.with_null(is_tagged || $crate::wire::table::null_in!(form $($null)?));
                        value.$field = $crate::wire::tests::probe::Probe::sample(random, form);
                    }
                )*
                value
            }

            fn json(&self, form: $crate::wire::field::Form) -> serde_json::Value {
                let mut fields = serde_json::Map::new();
                $(
                    if ($versions).contains(&form.version) {
                        let name = $crate::wire::tests::probe::camel_case(stringify!($field));
                        fields.insert(name, self.$field.json(form));
                    }
                )*
                $( $(
                    if !$crate::wire::table::tag_present!(self.$field, form, $versions, $absent, $type) {
                        let _ = $tag; // Kafka leaves out tagged fields at their defaults here too
                        fields.remove(&$crate::wire::tests::probe::camel_case(stringify!($field)));
                    }
                )? )*
                serde_json::Value::Object(fields)
            }
        }

        impl $crate::wire::field::Field for $name {
            fn read(
                reader: &mut $crate::wire::Reader,
                form: $crate::wire::field::Form,
            ) -> Result<Self, $crate::wire::WireError> {
                let mut value = Self::default();
                $(
                    if $crate::wire::table::untagged!($($tag)?) && ($versions).contains(&form.version) {
                        reader.enter(concat!(stringify!($name), ".", stringify!($field)));
                        let form = form.with_null($crate::wire::table::null_in!(form $($null)?));
                        value.$field = $crate::wire::field::Field::read(reader, form)?;
                    }
                )*
                if form.flexible {
                    reader.tagged_fields(|_reader, tag| match tag {
                        $( $(
                            $tag if ($versions).contains(&form.version) => {
                                _reader.enter(concat!(stringify!($name), ".", stringify!($field)));
                                let form = form.with_null(true);
                                value.$field = $crate::wire::field::Field::read(_reader, form)?;
                                Ok(true)
                            }
                        )? )*
                        _ => Ok(false),
                    })?;
                }
                Ok(value)
            }

            fn write(&self, writer: &mut $crate::wire::Writer, form: $crate::wire::field::Form) {
                $(
                    if $crate::wire::table::untagged!($($tag)?) && ($versions).contains(&form.version) {
                        let form = form.with_null($crate::wire::table::null_in!(form $($null)?));
                        self.$field.write(writer, form);
                    }
                )*
                if form.flexible {
                    let present: &[bool] = &[$( $(
                        $crate::wire::table::tag_present!(self.$field, form, $versions, $absent, $type),
                    )? )*];
                    writer.varint(present.iter().filter(|present| **present).count() as u32);
                    $( $(
                        if $crate::wire::table::tag_present!(self.$field, form, $versions, $absent, $type) {
                            let form = form.with_null(true);
                            let mut size = $crate::wire::Size::default();
                            self.$field.measure(&mut size, form);
                            writer.varint($tag);
                            writer.varint(size.bytes as u32);
                            self.$field.write(writer, form);
                        }
                    )? )*
                }
            }

            fn measure(&self, size: &mut $crate::wire::Size, form: $crate::wire::field::Form) {
                $(
                    if $crate::wire::table::untagged!($($tag)?) && ($versions).contains(&form.version) {
                        let form = form.with_null($crate::wire::table::null_in!(form $($null)?));
                        self.$field.measure(size, form);
                    }
                )*
                if form.flexible {
                    size.add(1); // how many tagged fields: always below 128
                    $( $(
                        if $crate::wire::table::tag_present!(self.$field, form, $versions, $absent, $type) {
                            let form = form.with_null(true);
                            let before = size.bytes;
                            self.$field.measure(size, form);
                            let bytes = (size.bytes - before) as u32;
                            size.add($crate::wire::writer::varint_bytes($tag) + $crate::wire::writer::varint_bytes(bytes));
                        }
                    )? )*
                }
            }

            fn bytes_min(form: $crate::wire::field::Form) -> usize {
                let mut bytes = usize::from(form.flexible);
                $(
                    if $crate::wire::table::untagged!($($tag)?) && ($versions).contains(&form.version) {
                        bytes += <$type as $crate::wire::field::Field>::bytes_min(form);
                    }
                )*
                bytes
            }
        }
    };
}

macro_rules! default_of {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

macro_rules! untagged {
    () => {
        true
    };
    ($tag:literal) => {
        false
    };
}

macro_rules! null_in {
    ($form:ident) => {
        false
    };
    ($form:ident $null:expr) => {
        ($null).contains(&$form.version)
    };
}

macro_rules! tag_present {
    ($value:expr, $form:ident, $versions:expr, $absent:expr, $type:ty) => {
        ($versions).contains(&$form.version) && {
            let absent: $type = $absent;
            $value != absent
        }
    };
}

pub(super) use {default_of, messages, null_in, structure, tag_present, untagged};
