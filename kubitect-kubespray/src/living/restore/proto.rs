//! A reader of protocol buffers, as far as Kubernetes' objects in etcd need one.

/// The value of a field.
pub enum FieldValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers. It ends at the first field that can't be read.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, FieldValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => FieldValue::Number(self.varint()?),
            1 => FieldValue::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                FieldValue::Bytes(self.take(length)?)
            }
            5 => FieldValue::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

/// The messages, strings or bytes in all fields of this number.
pub fn all(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).filter_map(move |(number, value)| match value {
        FieldValue::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

/// The message, string or bytes in the last field of this number: of repeated fields the last one counts.
pub fn bytes(message: &[u8], wanted: u64) -> Option<&[u8]> {
    all(message, wanted).last()
}

/// The integer in the last field of this number.
pub fn number(message: &[u8], wanted: u64) -> Option<u64> {
    let numbers = Fields(message).filter_map(|(number, value)| match value {
        FieldValue::Number(value) if number == wanted => Some(value),
        _ => None,
    });
    numbers.last()
}
