//! The types a message is made of, and how each lies on the wire in old and in flexible versions.
//!
//! ```text
//!             before             flexible (compact)
//! string      i16 n, n bytes     varint n + 1, n bytes        null: -1, or 0
//! bytes       i32 n, n bytes     varint n + 1, n bytes        null: -1, or 0
//! array       i32 n, n elements  varint n + 1, n elements     null: -1, or 0
//! structure   its fields         its fields, tagged fields
//! ```

use super::codes::ErrorCode;
use super::error::WireError;
use super::reader::Reader;
use super::writer::{Size, Writer, varint_bytes};
use bytes::Bytes;
use uuid::Uuid;

/// Longest string of the protocol; Kafka refuses longer ones in flexible versions too.
const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// How a field lies on the wire: depends on the version of the message around it.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Version of the message.
    pub version: i16,
    /// Compact lengths and tagged fields.
    pub flexible: bool,
    /// Null may stand here.
    pub nullable: bool,
}

impl Form {
    pub(super) fn with_null(self, nullable: bool) -> Self {
        Self { nullable, ..self }
    }
}

/// A value that can be a field of a message.
pub trait Field: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// When the bytes are not one.
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError>;
    /// Writes it. Null where this version has none is written as empty.
    fn write(&self, writer: &mut Writer, form: Form);
    /// Adds what [`Self::write`] will write.
    fn measure(&self, size: &mut Size, form: Form);
    /// Bytes that the smallest such value takes.
    fn bytes_min(form: Form) -> usize;
}

/// A field that arrays are made of. Not [`Bytes`]: `Vec<Bytes>` is one value in several slices.
pub trait Element: Field {}

macro_rules! numbers {
    ($($type:ty)*) => { $(
        impl Field for $type {
            fn read(reader: &mut Reader, _form: Form) -> Result<Self, WireError> {
                Ok(Self::from_be_bytes(reader.array()?))
            }
            fn write(&self, writer: &mut Writer, _form: Form) {
                writer.put(&self.to_be_bytes());
            }
            fn measure(&self, size: &mut Size, _form: Form) {
                size.add(size_of::<Self>());
            }
            fn bytes_min(_form: Form) -> usize {
                size_of::<Self>()
            }
        }
        impl Element for $type {}
    )* };
}
numbers! { i8 i16 i32 i64 u16 f64 }

impl Field for bool {
    fn read(reader: &mut Reader, _form: Form) -> Result<Self, WireError> {
        Ok(reader.array()? != [0])
    }
    fn write(&self, writer: &mut Writer, _form: Form) {
        writer.put(&[u8::from(*self)]);
    }
    fn measure(&self, size: &mut Size, _form: Form) {
        size.add(1);
    }
    fn bytes_min(_form: Form) -> usize {
        1
    }
}

impl Field for ErrorCode {
    fn read(reader: &mut Reader, _form: Form) -> Result<Self, WireError> {
        let code = i16::from_be_bytes(reader.array()?);
        Self::from_i16(code).ok_or_else(|| reader.unknown_error_code(code))
    }
    fn write(&self, writer: &mut Writer, _form: Form) {
        writer.put(&self.code().to_be_bytes());
    }
    fn measure(&self, size: &mut Size, _form: Form) {
        size.add(2);
    }
    fn bytes_min(_form: Form) -> usize {
        2
    }
}

impl Field for Uuid {
    fn read(reader: &mut Reader, _form: Form) -> Result<Self, WireError> {
        Ok(Self::from_bytes(reader.array()?))
    }
    fn write(&self, writer: &mut Writer, _form: Form) {
        writer.put(self.as_bytes());
    }
    fn measure(&self, size: &mut Size, _form: Form) {
        size.add(16);
    }
    fn bytes_min(_form: Form) -> usize {
        16
    }
}
impl Element for Uuid {}

/// How a length or count stands before its bytes or elements.
#[derive(Clone, Copy)]
enum Prefix {
    Short,
    Long,
    Compact,
}

impl Prefix {
    fn of_string(form: Form) -> Self {
        if form.flexible { Self::Compact } else { Self::Short }
    }

    fn of_many(form: Form) -> Self {
        if form.flexible { Self::Compact } else { Self::Long }
    }

    /// The number, -1 for null.
    fn read(self, reader: &mut Reader) -> Result<i64, WireError> {
        match self {
            Self::Short => Ok(i64::from(i16::from_be_bytes(reader.array()?))),
            Self::Long => Ok(i64::from(i32::from_be_bytes(reader.array()?))),
            Self::Compact => Ok(i64::from(reader.varint()?) - 1),
        }
    }

    fn write(self, writer: &mut Writer, count: usize) {
        match self {
            Self::Short => writer.put(&(count as i16).to_be_bytes()),
            Self::Long => writer.put(&(count as i32).to_be_bytes()),
            Self::Compact => writer.varint(count as u32 + 1),
        }
    }

    fn write_null(self, writer: &mut Writer) {
        match self {
            Self::Short => writer.put(&(-1_i16).to_be_bytes()),
            Self::Long => writer.put(&(-1_i32).to_be_bytes()),
            Self::Compact => writer.varint(0),
        }
    }

    fn bytes(self, count: usize) -> usize {
        match self {
            Self::Short => 2,
            Self::Long => 4,
            Self::Compact => varint_bytes(count as u32 + 1),
        }
    }

    fn bytes_min(self) -> usize {
        match self {
            Self::Short => 2,
            Self::Long => 4,
            Self::Compact => 1,
        }
    }
}

/// Reads `Option<T>` and insists on a value.
fn required<T>(reader: &mut Reader, form: Form) -> Result<T, WireError>
where
    Option<T>: Field,
{
    match Option::read(reader, form.with_null(false))? {
        Some(value) => Ok(value),
        None => Err(reader.null()),
    }
}

/// The length after a prefix, `None` for null.
fn length(reader: &mut Reader, prefix: Prefix, form: Form) -> Result<Option<usize>, WireError> {
    match prefix.read(reader)? {
        -1 if form.nullable => Ok(None),
        -1 => Err(reader.null()),
        length => usize::try_from(length).map(Some).map_err(|_| reader.bad_length(length)),
    }
}

/// Strings of ours that pass the protocol's limit (an error's message, say) end early, on a whole character.
fn clipped(text: &str) -> &[u8] {
    let end = text.floor_char_boundary(STRING_BYTES_MAX);
    text.as_bytes().get(..end).unwrap_or_default()
}

impl Field for Option<String> {
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError> {
        let Some(bytes) = length(reader, Prefix::of_string(form), form)? else { return Ok(None) };
        if bytes > STRING_BYTES_MAX {
            return Err(reader.bad_length(bytes as i64));
        }
        reader.text(bytes).map(Some)
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        let prefix = Prefix::of_string(form);
        if self.is_none() && form.nullable {
            return prefix.write_null(writer);
        }
        let text = clipped(self.as_deref().unwrap_or_default());
        prefix.write(writer, text.len());
        writer.put(text);
    }
    fn measure(&self, size: &mut Size, form: Form) {
        let bytes = clipped(self.as_deref().unwrap_or_default()).len();
        size.add(Prefix::of_string(form).bytes(bytes) + bytes);
    }
    fn bytes_min(form: Form) -> usize {
        Prefix::of_string(form).bytes_min()
    }
}

impl Field for String {
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError> {
        required(reader, form)
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        let text = clipped(self);
        Prefix::of_string(form).write(writer, text.len());
        writer.put(text);
    }
    fn measure(&self, size: &mut Size, form: Form) {
        let bytes = clipped(self).len();
        size.add(Prefix::of_string(form).bytes(bytes) + bytes);
    }
    fn bytes_min(form: Form) -> usize {
        Option::<Self>::bytes_min(form)
    }
}
impl Element for String {}

impl Field for Option<Bytes> {
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError> {
        let Some(bytes) = length(reader, Prefix::of_many(form), form)? else { return Ok(None) };
        reader.slice(bytes).map(Some)
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        match self {
            Some(bytes) => bytes.write(writer, form),
            None if form.nullable => Prefix::of_many(form).write_null(writer),
            None => Prefix::of_many(form).write(writer, 0),
        }
    }
    fn measure(&self, size: &mut Size, form: Form) {
        let bytes = self.as_ref().map_or(0, Bytes::len);
        size.add(Prefix::of_many(form).bytes(bytes) + bytes);
    }
    fn bytes_min(form: Form) -> usize {
        Prefix::of_many(form).bytes_min()
    }
}

impl Field for Bytes {
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError> {
        required(reader, form)
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        Prefix::of_many(form).write(writer, self.len());
        writer.put(self);
    }
    fn measure(&self, size: &mut Size, form: Form) {
        size.add(Prefix::of_many(form).bytes(self.len()) + self.len());
    }
    fn bytes_min(form: Form) -> usize {
        Option::<Self>::bytes_min(form)
    }
}

/// One value of bytes in any number of slices: written without a copy. Null reads as no slices.
impl Field for Vec<Bytes> {
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError> {
        let bytes = Option::<Bytes>::read(reader, form.with_null(true))?;
        Ok(bytes.filter(|bytes| !bytes.is_empty()).into_iter().collect())
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        Prefix::of_many(form).write(writer, self.iter().map(Bytes::len).sum());
        writer.slices(self);
    }
    fn measure(&self, size: &mut Size, form: Form) {
        size.add(Prefix::of_many(form).bytes(self.iter().map(Bytes::len).sum()));
        size.add_slices(self);
    }
    fn bytes_min(form: Form) -> usize {
        Prefix::of_many(form).bytes_min()
    }
}

impl<T: Element> Field for Option<Vec<T>> {
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError> {
        let count = match Prefix::of_many(form).read(reader)? {
            -1 if form.nullable => return Ok(None),
            -1 => return Err(reader.null()),
            count => count,
        };
        let form = form.with_null(false);
        let count = reader.admit(count, T::bytes_min(form), size_of::<T>())?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(reader, form)?);
        }
        Ok(Some(elements))
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        match self {
            Some(elements) => elements.write(writer, form),
            None if form.nullable => Prefix::of_many(form).write_null(writer),
            None => Prefix::of_many(form).write(writer, 0),
        }
    }
    fn measure(&self, size: &mut Size, form: Form) {
        match self {
            Some(elements) => elements.measure(size, form),
            None => size.add(Prefix::of_many(form).bytes(0)),
        }
    }
    fn bytes_min(form: Form) -> usize {
        Prefix::of_many(form).bytes_min()
    }
}

impl<T: Element> Field for Vec<T> {
    fn read(reader: &mut Reader, form: Form) -> Result<Self, WireError> {
        required(reader, form)
    }
    fn write(&self, writer: &mut Writer, form: Form) {
        Prefix::of_many(form).write(writer, self.len());
        for element in self {
            element.write(writer, form.with_null(false));
        }
    }
    fn measure(&self, size: &mut Size, form: Form) {
        size.add(Prefix::of_many(form).bytes(self.len()));
        for element in self {
            element.measure(size, form.with_null(false));
        }
    }
    fn bytes_min(form: Form) -> usize {
        Option::<Self>::bytes_min(form)
    }
}
