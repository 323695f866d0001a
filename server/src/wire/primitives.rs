//! Fields of the Kafka protocol: fixed and variable widths, strings, bytes, arrays, tagged fields.
//!
//! Decoding never allocates for a count or length that the remaining bytes do not back, and all that one request
//! unfolds to is charged to a budget, so that a frame of one-byte elements cannot become gigabytes of structs.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// What a request may unfold to in memory, beyond a multiple of its own length.
const MEMORY_BYTES_BASE: usize = 1 << 20;
/// That multiple.
const MEMORY_PER_FRAME_BYTE: usize = 16;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the fields need.
    #[error("cut: {wanted} B wanted, {left} left")]
    Cut {
        /// Bytes the next field needs.
        wanted: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// A length or count that cannot be.
    #[error("a length of {length} for a {what}")]
    Length {
        /// What it was to be the length of.
        what: &'static str,
        /// As it stands there.
        length: i64,
    },
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// More elements than the request's memory budget allows.
    #[error("the request unfolds to more memory than its {frame_bytes} B allow")]
    Memory {
        /// Length of the frame.
        frame_bytes: usize,
    },
    /// Bytes behind the last field.
    #[error("{left} B follow the last field")]
    Trailing {
        /// How many.
        left: usize,
    },
}

/// The version that is being read or written.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Of the API.
    pub version: i16,
    /// It has compact types and tagged fields.
    pub flexible: bool,
}

/// Takes fields off a frame.
pub struct Reader {
    bytes: Bytes,
    frame_bytes: usize,
    memory_left: usize,
}

impl Reader {
    /// A reader over a whole frame or what is left of it.
    pub fn new(bytes: Bytes) -> Self {
        let frame_bytes = bytes.len();
        let memory_left = MEMORY_BYTES_BASE + frame_bytes.saturating_mul(MEMORY_PER_FRAME_BYTE);
        Self { bytes, frame_bytes, memory_left }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Takes `count` bytes, shared with the frame.
    ///
    /// # Errors
    /// `Cut`.
    pub fn take(&mut self, count: usize) -> Result<Bytes, WireError> {
        if count > self.bytes.len() {
            return Err(WireError::Cut { wanted: count, left: self.bytes.len() });
        }
        Ok(self.bytes.split_to(count))
    }

    /// Takes a fixed number of bytes.
    ///
    /// # Errors
    /// `Cut`.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, _) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or(WireError::Cut { wanted: N, left: self.bytes.len() })?;
        let head = *head;
        bytes::Buf::advance(&mut self.bytes, N);
        Ok(head)
    }

    /// An unsigned varint of at most 32 bits.
    ///
    /// # Errors
    /// `Cut`, `Length`.
    pub fn varint(&mut self) -> Result<u32, WireError> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array::<1>()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value)
                    .map_err(|_| WireError::Length { what: "varint", length: value as i64 });
            }
        }
        Err(WireError::Length { what: "varint", length: -1 })
    }

    /// The length in front of a string, bytes or an array; `None` is null.
    fn length(
        &mut self,
        flexible: bool,
        short: bool,
        what: &'static str,
    ) -> Result<Option<usize>, WireError> {
        let length = match (flexible, short) {
            (true, _) => i64::from(self.varint()?) - 1,
            (false, true) => i64::from(i16::from_be_bytes(self.array()?)),
            (false, false) => i64::from(i32::from_be_bytes(self.array()?)),
        };
        if length == -1 {
            return Ok(None);
        }
        let fits = usize::try_from(length).ok().filter(|length| *length <= self.left());
        fits.map(Some).ok_or(WireError::Length { what, length })
    }

    fn charge(&mut self, bytes: usize) -> Result<(), WireError> {
        let memory = WireError::Memory { frame_bytes: self.frame_bytes };
        self.memory_left = self.memory_left.checked_sub(bytes).ok_or(memory)?;
        Ok(())
    }

    /// Ends a message.
    ///
    /// # Errors
    /// `Trailing`.
    pub fn finish(&self) -> Result<(), WireError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(WireError::Trailing { left: self.bytes.len() }) }
    }

    /// Reads the tagged fields at a struct's end; `known` takes those it knows, the others are skipped.
    ///
    /// # Errors
    /// As the fields'.
    pub fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let count = self.varint()?;
        if count as usize > self.left() {
            return Err(WireError::Length { what: "list of tagged fields", length: i64::from(count) });
        }
        for _ in 0..count {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            let memory_left = self.memory_left;
            let mut field = Reader { bytes: self.take(length)?, frame_bytes: self.frame_bytes, memory_left };
            known(tag, &mut field)?;
            self.memory_left = field.memory_left;
        }
        Ok(())
    }
}

/// Appends fields.
#[derive(Default)]
pub struct Writer {
    /// What was written.
    pub bytes: BytesMut,
}

impl Writer {
    /// An unsigned varint.
    pub fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    fn length(&mut self, length: Option<usize>, flexible: bool, short: bool) {
        match (flexible, short) {
            (true, _) => self.varint(length.map_or(0, |length| length as u32 + 1)),
            (false, true) => self.bytes.put_i16(length.map_or(-1, |length| length as i16)),
            (false, false) => self.bytes.put_i32(length.map_or(-1, |length| length as i32)),
        }
    }

    /// One tagged field.
    pub fn tag(&mut self, tag: u32, field: &Writer) {
        self.varint(tag);
        self.varint(field.bytes.len() as u32);
        self.bytes.extend_from_slice(&field.bytes);
    }
}

/// One field of a message, in every version.
pub trait Field: Sized {
    /// Takes it off the front.
    ///
    /// # Errors
    /// `WireError`.
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError>;
    /// Appends it.
    fn write(&self, writer: &mut Writer, context: Context);
}

macro_rules! number {
    ($($type:ty => $put:ident),*) => {$(
        impl Field for $type {
            fn read(reader: &mut Reader, _: Context) -> Result<Self, WireError> {
                Ok(<$type>::from_be_bytes(reader.array()?))
            }
            fn write(&self, writer: &mut Writer, _: Context) {
                writer.bytes.$put(*self);
            }
        }
    )*};
}
number!(i8 => put_i8, i16 => put_i16, u16 => put_u16, i32 => put_i32, u32 => put_u32, i64 => put_i64, f64 => put_f64);

impl Field for bool {
    fn read(reader: &mut Reader, _: Context) -> Result<Self, WireError> {
        let [byte] = reader.array::<1>()?;
        Ok(byte != 0)
    }
    fn write(&self, writer: &mut Writer, _: Context) {
        writer.bytes.put_u8(u8::from(*self));
    }
}

impl Field for Uuid {
    fn read(reader: &mut Reader, _: Context) -> Result<Self, WireError> {
        Ok(Self::from_bytes(reader.array()?))
    }
    fn write(&self, writer: &mut Writer, _: Context) {
        writer.bytes.put_slice(self.as_bytes());
    }
}

impl Field for Option<String> {
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError> {
        let Some(length) = reader.length(context.flexible, true, "string")? else { return Ok(None) };
        reader.charge(length)?;
        let bytes = reader.take(length)?;
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| WireError::Utf8)
    }
    fn write(&self, writer: &mut Writer, context: Context) {
        // Lengths of classic strings have 15 bits: what is longer (an error's text) is cut, never wrong.
        let text = self.as_deref().map(|text| match context.flexible {
            true => text,
            false => text.get(..text.floor_char_boundary(i16::MAX as usize)).unwrap_or(text),
        });
        writer.length(text.map(str::len), context.flexible, true);
        writer.bytes.put_slice(text.unwrap_or_default().as_bytes());
    }
}

impl Field for String {
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError> {
        Option::<String>::read(reader, context)?.ok_or(WireError::Length { what: "string", length: -1 })
    }
    fn write(&self, writer: &mut Writer, context: Context) {
        let length = if context.flexible { self.len() } else { self.floor_char_boundary(i16::MAX as usize) };
        writer.length(Some(length), context.flexible, true);
        writer.bytes.put_slice(self.as_bytes().get(..length).unwrap_or_default());
    }
}

impl Field for Option<Bytes> {
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError> {
        let length = reader.length(context.flexible, false, "byte string")?;
        length.map(|length| reader.take(length)).transpose()
    }
    fn write(&self, writer: &mut Writer, context: Context) {
        writer.length(self.as_ref().map(Bytes::len), context.flexible, false);
        writer.bytes.put_slice(self.as_deref().unwrap_or_default());
    }
}

impl Field for Bytes {
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError> {
        Option::<Bytes>::read(reader, context)?.ok_or(WireError::Length { what: "byte string", length: -1 })
    }
    fn write(&self, writer: &mut Writer, context: Context) {
        writer.length(Some(self.len()), context.flexible, false);
        writer.bytes.put_slice(self);
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError> {
        // Every element takes a byte at least, so a count never passes the bytes that are left.
        let Some(count) = reader.length(context.flexible, false, "array")? else { return Ok(None) };
        reader.charge(count.saturating_mul(size_of::<T>()))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(reader, context)?);
        }
        Ok(Some(elements))
    }
    fn write(&self, writer: &mut Writer, context: Context) {
        writer.length(self.as_ref().map(Vec::len), context.flexible, false);
        self.iter().flatten().for_each(|element| element.write(writer, context));
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError> {
        // Kafka's own readers take a null where none may be for an empty array in a few old versions; so do we.
        Ok(Option::<Vec<T>>::read(reader, context)?.unwrap_or_default())
    }
    fn write(&self, writer: &mut Writer, context: Context) {
        writer.length(Some(self.len()), context.flexible, false);
        self.iter().for_each(|element| element.write(writer, context));
    }
}

/// Makes structs of messages from their table of fields.
///
/// Each field: the versions it exists in (`[3..]`, `[0..=2]`; with `tag n` it is a tagged field), name, type, and its
/// default where that is not the type's.
macro_rules! message {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* [$versions:expr $(, tag $tag:literal)?] $field:ident: $type:ty $(= $default:expr)?,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, clippy::struct_excessive_bools, reason = "the names and meanings are those of Kafka's protocol guide")]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: message!(@default $type $(, $default)?),)* }
            }
        }

        #[cfg(test)]
        impl $crate::wire::tests::Sample for $name {
            fn sample(number: &mut u64) -> Self {
                Self { $($field: <$type as $crate::wire::tests::Sample>::sample(number),)* }
            }
        }

        impl $crate::wire::primitives::Field for $name {
            #[allow(unused_mut, unused_variables, reason = "messages without fields or tags")]
            fn read(
                reader: &mut $crate::wire::primitives::Reader,
                context: $crate::wire::primitives::Context,
            ) -> Result<Self, $crate::wire::primitives::WireError> {
                let mut message = Self::default();
                $(message!(@read message, reader, context, $versions, $field, $type $(, $tag)?);)*
                if context.flexible {
                    reader.tagged(|tag, reader| {
                        $(message!(@read_tag message, reader, context, $versions, $field, $type, tag $(, $tag)?);)*
                        Ok(())
                    })?;
                }
                Ok(message)
            }

            #[allow(unused_mut, unused_variables, reason = "messages without fields or tags")]
            fn write(&self, writer: &mut $crate::wire::primitives::Writer, context: $crate::wire::primitives::Context) {
                $(message!(@write self, writer, context, $versions, $field, $type $(, $tag)?);)*
                if context.flexible {
                    let mut tags = $crate::wire::primitives::Writer::default();
                    let mut count = 0u32;
                    $(message!(@write_tag self, tags, count, context, $versions, $field, $type, ($($default)?) $(, $tag)?);)*
                    writer.varint(count);
                    writer.bytes.extend_from_slice(&tags.bytes);
                }
            }
        }
    )*};
    (@default $type:ty) => { <$type as Default>::default() };
    (@default $type:ty, $default:expr) => { $default };
    (@read $message:ident, $reader:ident, $context:ident, $versions:expr, $field:ident, $type:ty) => {
        if ($versions).contains(&$context.version) {
            $message.$field = <$type as $crate::wire::primitives::Field>::read($reader, $context)?;
        }
    };
    (@read $message:ident, $reader:ident, $context:ident, $versions:expr, $field:ident, $type:ty, $tag:literal) => {};
    (@read_tag $message:ident, $reader:ident, $context:ident, $versions:expr, $field:ident, $type:ty, $found:ident) => {};
    (@read_tag $message:ident, $reader:ident, $context:ident, $versions:expr, $field:ident, $type:ty, $found:ident, $tag:literal) => {
        if $found == $tag && ($versions).contains(&$context.version) {
            $message.$field = <$type as $crate::wire::primitives::Field>::read($reader, $context)?;
        }
    };
    (@write $message:ident, $writer:ident, $context:ident, $versions:expr, $field:ident, $type:ty) => {
        if ($versions).contains(&$context.version) {
            <$type as $crate::wire::primitives::Field>::write(&$message.$field, $writer, $context);
        }
    };
    (@write $message:ident, $writer:ident, $context:ident, $versions:expr, $field:ident, $type:ty, $tag:literal) => {};
    (@write_tag $message:ident, $tags:ident, $count:ident, $context:ident, $versions:expr, $field:ident, $type:ty, ($($default:expr)?)) => {};
    (@write_tag $message:ident, $tags:ident, $count:ident, $context:ident, $versions:expr, $field:ident, $type:ty, ($($default:expr)?), $tag:literal) => {
        if ($versions).contains(&$context.version) && $message.$field != message!(@default $type $(, $default)?) {
            let mut field = $crate::wire::primitives::Writer::default();
            <$type as $crate::wire::primitives::Field>::write(&$message.$field, &mut field, $context);
            $tags.tag($tag, &field);
            $count += 1;
        }
    };
}
pub(crate) use message;
